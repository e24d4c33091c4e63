package main

import (
	"encoding/json"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type question struct {
	Script string          `json:"script"`
	Object json.RawMessage `json:"object"`
}

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type answer struct {
	Health  verdict `json:"health"`
	Kstatus verdict `json:"kstatus"`
}

// verdicts answers a list of questions in their order.
func verdicts(in io.Reader) (any, error) {
	var questions []question
	if err := json.NewDecoder(in).Decode(&questions); err != nil {
		return nil, err
	}
	answers := make([]answer, 0, len(questions))
	for _, asked := range questions {
		health, err := judged(asked.Script, asked.Object)
		if err != nil {
			return nil, err
		}
		kstatus, err := computed(asked.Object)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer{health, kstatus})
	}
	return answers, nil
}

func computed(object json.RawMessage) (verdict, error) {
	var parsed unstructured.Unstructured
	if err := parsed.UnmarshalJSON(object); err != nil {
		return verdict{}, err
	}
	result, err := status.Compute(&parsed)
	if err != nil {
		return verdict{}, err
	}
	return verdict{string(result.Status), result.Message}, nil
}
