package main

import (
	"encoding/json"
	"io"
	"time"

	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/sync/common"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// serverSideManager is the field manager of Argo CD's server-side apply.
const serverSideManager = "argocd-controller"

// lookEvery is the longest wait between two steps of a sync; a change of an object ends it.
const lookEvery = 500 * time.Millisecond

// application is what Argo CD's object of that kind says, and whether to sync or only to compare.
type application struct {
	Name       string `json:"name"`
	Kubeconfig string `json:"kubeconfig"`
	Repository string `json:"repository"`
	Revision   string `json:"revision"`
	Path       string `json:"path"`
	Namespace  string `json:"namespace"`
	// Script judges the health of objects of the group trace.dev.
	Script string `json:"script"`
	// Seconds is how long a sync may take; 0 compares only.
	Seconds float64 `json:"seconds"`
	Prune   bool    `json:"prune"`
	// SkipDryRun is the sync option SkipDryRunOnMissingResource.
	SkipDryRun bool `json:"skipDryRun"`
	// ServerSide is the sync option ServerSideApply with the compare option ServerSideDiff.
	ServerSide bool `json:"serverSide"`
}

type outcome struct {
	Commit  string    `json:"commit"`
	Phase   string    `json:"phase"`
	Message string    `json:"message"`
	Results []result  `json:"results"`
	Objects []managed `json:"objects"`
}

// result is what a sync did to one object.
type result struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

// managed is one object of the application: Synced or OutOfSync, with both sides of a difference.
type managed struct {
	Kind      string          `json:"kind"`
	Name      string          `json:"name"`
	Sync      string          `json:"sync"`
	Health    string          `json:"health"`
	Live      json.RawMessage `json:"live,omitempty"`
	Predicted json.RawMessage `json:"predicted,omitempty"`
}

type engine struct {
	application
	config  *rest.Config
	kubectl kube.Kubectl
	cluster cache.ClusterCache
	changed chan struct{}
	targets []*unstructured.Unstructured
	commit  string
}

// synced syncs an application once where that is asked for, and then compares it with the cluster as it is.
func synced(in io.Reader) (any, error) {
	e := engine{changed: make(chan struct{}, 1)}
	if err := json.NewDecoder(in).Decode(&e.application); err != nil {
		return nil, err
	}
	var err error
	if e.targets, e.commit, err = e.manifests(); err != nil {
		return nil, err
	}
	if e.config, err = clientcmd.BuildConfigFromFlags("", e.Kubeconfig); err != nil {
		return nil, err
	}
	e.config.QPS, e.config.Burst = 100, 200
	e.kubectl = &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	e.cluster = cache.NewClusterCache(e.config,
		cache.SetKubectl(e.kubectl),
		cache.SetNamespaces([]string{e.Namespace}),
		cache.SetClusterResources(true),
		cache.SetLogr(logr.Discard()),
		cache.SetPopulateResourceInfoHandler(func(object *unstructured.Unstructured, _ bool) (any, bool) {
			return e.owns(object), e.owns(object)
		}),
	)
	if err := e.cluster.EnsureSynced(); err != nil {
		return nil, err
	}
	e.cluster.OnResourceUpdated(func(_, _ *cache.Resource, _ map[kube.ResourceKey]*cache.Resource) {
		select {
		case e.changed <- struct{}{}:
		default:
		}
	})
	said := outcome{Commit: e.commit, Results: []result{}}
	if e.Seconds > 0 {
		if err := e.sync(&said); err != nil {
			return nil, err
		}
		e.cluster.Invalidate()
		if err := e.cluster.EnsureSynced(); err != nil {
			return nil, err
		}
	}
	said.Objects, err = e.compared()
	return said, err
}

// sync is one operation: as Argo CD does, each step begins with what the cluster has then and what the steps before did.
func (e *engine) sync(said *outcome) error {
	started := time.Now()
	phase, message, results := common.OperationRunning, "", []common.ResourceSyncResult{}
	for {
		pairs, _, err := e.differences()
		if err != nil {
			return err
		}
		foreground := metav1.DeletePropagationForeground
		step, done, err := sync.NewSyncContext(e.commit, pairs, e.config, e.config, e.kubectl, e.Namespace,
			e.cluster.GetOpenAPISchema(),
			sync.WithLogr(logr.Discard()),
			sync.WithHealthOverride(e),
			sync.WithOperationSettings(false, e.Prune, false, false),
			sync.WithInitialState(phase, message, results, metav1.NewTime(started)),
			sync.WithPrunePropagationPolicy(&foreground),
			sync.WithServerSideApply(e.ServerSide),
			sync.WithServerSideApplyManager(serverSideManager),
			sync.WithSkipDryRunOnMissingResource(e.SkipDryRun),
		)
		if err != nil {
			return err
		}
		step.Sync()
		phase, message, results = step.GetState()
		done()
		if phase.Completed() || time.Since(started).Seconds() > e.Seconds {
			break
		}
		select {
		case <-e.changed:
		case <-time.After(lookEvery):
		}
	}
	said.Phase, said.Message = string(phase), message
	for _, one := range results {
		said.Results = append(said.Results, result{one.ResourceKey.Kind, one.ResourceKey.Name, string(one.Status), one.Message})
	}
	return nil
}

// differences pairs what is wanted with what is there, and compares each pair.
func (e *engine) differences() (sync.ReconciliationResult, *diff.DiffResultList, error) {
	targets := make([]*unstructured.Unstructured, len(e.targets))
	for i, target := range e.targets {
		targets[i] = target.DeepCopy()
	}
	live, err := e.cluster.GetManagedLiveObjs(targets, func(r *cache.Resource) bool { return r.Info == true })
	if err != nil {
		return sync.ReconciliationResult{}, nil, err
	}
	pairs := sync.Reconcile(targets, live, e.Namespace, e.cluster)
	options := []diff.Option{
		diff.WithLogr(logr.Discard()),
		diff.WithGVKParser(e.cluster.GetGVKParser()),
		diff.WithManager(serverSideManager),
	}
	if e.ServerSide {
		applier, done, err := kube.ManageServerSideDiffDryRuns(
			e.config, e.cluster.GetOpenAPISchema(), tracing.NopTracer{}, logr.Discard(), nil)
		if err != nil {
			return pairs, nil, err
		}
		defer done()
		options = append(options, diff.WithServerSideDiff(true),
			diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier)))
	}
	found, err := diff.DiffArray(pairs.Target, pairs.Live, options...)
	return pairs, found, err
}

func (e *engine) compared() ([]managed, error) {
	pairs, found, err := e.differences()
	if err != nil {
		return nil, err
	}
	objects := []managed{}
	for i, target := range pairs.Target {
		live, one := pairs.Live[i], managed{Sync: "Synced", Health: "Missing"}
		named := target
		if named == nil {
			named = live
		}
		one.Kind, one.Name = named.GetKind(), named.GetName()
		if found.Diffs[i].Modified || target == nil || live == nil {
			one.Sync, one.Live, one.Predicted = "OutOfSync", found.Diffs[i].NormalizedLive, found.Diffs[i].PredictedLive
		}
		if live != nil {
			judgement, err := health.GetResourceHealth(live, e)
			if err != nil {
				return nil, err
			}
			one.Health = ""
			if judgement != nil {
				one.Health = string(judgement.Status)
			}
		}
		objects = append(objects, one)
	}
	return objects, nil
}

// GetResourceHealth is the script's verdict on objects of Trace; nil leaves others to Argo CD's own checks.
func (e *engine) GetResourceHealth(object *unstructured.Unstructured) (*health.HealthStatus, error) {
	if object.GroupVersionKind().Group != "trace.dev" {
		return nil, nil
	}
	text, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	said, err := judged(e.Script, text)
	return &health.HealthStatus{Status: health.HealthStatusCode(said.Status), Message: said.Message}, err
}
