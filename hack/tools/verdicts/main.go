// Verdicts says what other tools make of Kubernetes objects: Argo CD's health, by the script it would run in the Lua
// engine it runs it in, and kstatus's status.
//
// It reads a JSON list of {"script": LUA, "object": OBJECT} and writes a list of {"health", "kstatus"} in that order.
// Argo CD's own package of scripts draws in 1,400 packages. What it does around the engine is the part that matters
// here: of Lua's libraries it opens `package`, `base`, `table` and a part of `os`, which stays closed here, and it
// gives a script one second.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

const scriptTime = time.Second

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

func main() {
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		fail(err)
	}
	answers := make([]answer, 0, len(questions))
	for _, asked := range questions {
		health, err := argo(asked)
		if err != nil {
			fail(err)
		}
		kstatus, err := computed(asked.Object)
		if err != nil {
			fail(err)
		}
		answers = append(answers, answer{health, kstatus})
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fail(err)
	}
}

func argo(asked question) (verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return verdict{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptTime)
	defer cancel()
	state.SetContext(ctx)
	object, err := luajson.Decode(state, asked.Object)
	if err != nil {
		return verdict{}, err
	}
	state.SetGlobal("obj", object)
	if err := state.DoString(asked.Script); err != nil {
		return verdict{}, err
	}
	returned, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return verdict{}, fmt.Errorf("the script returned %s, not a table", state.Get(-1).Type())
	}
	text, err := luajson.Encode(returned)
	if err != nil {
		return verdict{}, err
	}
	var health verdict
	err = json.Unmarshal(text, &health)
	return health, err
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

func fail(err error) {
	fmt.Fprintln(os.Stderr, "verdicts:", err)
	os.Exit(1)
}
