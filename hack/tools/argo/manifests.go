package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strings"

	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const trackingID = "argocd.argoproj.io/tracking-id"

// manifests are the objects in a folder of a repository at a revision, and the commit that it stands for. Each has the
// annotation by which Argo CD knows the objects of an application, and the application's namespace where it has none.
func (a application) manifests() ([]*unstructured.Unstructured, string, error) {
	commit, err := a.git("rev-parse", a.Revision+"^{commit}")
	if err != nil {
		return nil, "", err
	}
	archive, err := a.git("archive", "--format=tar", a.Revision, a.Path)
	if err != nil {
		return nil, "", err
	}
	var found []*unstructured.Unstructured
	for files := tar.NewReader(bytes.NewReader(archive)); ; {
		file, err := files.Next()
		if errors.Is(err, io.EOF) {
			return found, strings.TrimSpace(string(commit)), nil
		}
		if err != nil {
			return nil, "", err
		}
		if path.Ext(file.Name) != ".yaml" {
			continue
		}
		text, err := io.ReadAll(files)
		if err != nil {
			return nil, "", err
		}
		objects, err := kube.SplitYAML(text)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", file.Name, err)
		}
		for _, object := range objects {
			found = append(found, a.tracked(object))
		}
	}
}

func (a application) tracked(object *unstructured.Unstructured) *unstructured.Unstructured {
	if object.GetNamespace() == "" && object.GetKind() != kube.CustomResourceDefinitionKind {
		object.SetNamespace(a.Namespace)
	}
	kind := object.GroupVersionKind()
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[trackingID] = fmt.Sprintf("%s:%s/%s:%s/%s", a.Name, kind.Group, kind.Kind, object.GetNamespace(), object.GetName())
	object.SetAnnotations(annotations)
	return object
}

// owns says whether an object is the application's, as Argo CD does: its annotation names the application and the object.
func (a application) owns(object *unstructured.Unstructured) bool {
	kind := object.GroupVersionKind()
	expected := fmt.Sprintf("%s:%s/%s:%s/%s", a.Name, kind.Group, kind.Kind, object.GetNamespace(), object.GetName())
	return object.GetAnnotations()[trackingID] == expected
}

func (a application) git(words ...string) ([]byte, error) {
	said, err := exec.Command("git", append([]string{"-C", a.Repository}, words...)...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("git %s: %s", words[0], failed.Stderr)
	}
	return said, err
}
