// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// foreign are the CRDs of others whose kinds the chart and config use. They are read from the
// archives of their Go modules, which are compared with the checksums here: no code of theirs is
// built, and no go.mod names them.
var foreign = []struct{ module, sum, path string }{
	{
		"sigs.k8s.io/gateway-api@v1.6.3", "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
		"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
	},
	{
		"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
	},
	{
		"github.com/cert-manager/cert-manager@v1.21.2", "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
		"deploy/crds/cert-manager.io_certificates.yaml",
	},
	{
		"github.com/cert-manager/cert-manager@v1.21.2", "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
		"deploy/crds/cert-manager.io_issuers.yaml",
	},
}

var installed sync.Map // by path: func() error, so that each CRD is installed once

// withForeignKinds installs the CRDs in the control plane that the tests share.
func withForeignKinds(t *testing.T) *kube.Cluster {
	t.Helper()
	cluster := kube.ForTest(t)
	for _, crd := range foreign {
		once, _ := installed.LoadOrStore(crd.path, sync.OnceValue(func() error {
			folder, err := downloadModule(crd.module, crd.sum)
			if err != nil {
				return err
			}
			return installCRD(cluster.Client, filepath.Join(folder, crd.path))
		}))
		if err := once.(func() error)(); err != nil {
			t.Fatal(err)
		}
	}
	return cluster
}

// downloadModule returns the folder of a module in the module cache.
func downloadModule(module, sum string) (string, error) {
	var archive struct{ Dir, Sum, Error string }
	text, err := runProgram("", "go", "mod", "download", "-json", module)
	if decoding := json.Unmarshal([]byte(text), &archive); decoding != nil {
		return "", fmt.Errorf("download %s: %w: %w", module, decoding, err)
	}
	if archive.Error != "" || archive.Sum != sum {
		return "", fmt.Errorf("download %s: sum %s, want %s: %s", module, archive.Sum, sum, archive.Error)
	}
	return archive.Dir, nil
}

// installCRD creates a CRD and waits until its kind is served.
func installCRD(cluster client.Client, path string) error {
	// Not the context of a test: the first test may end before the others have used the CRD.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	objects, err := decodeManifests(string(text))
	if err != nil {
		return err
	}
	crd := objects[0]
	if err := cluster.Create(ctx, crd); err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	return wait.Until(ctx, time.Minute, 0, func(context.Context) error {
		_, err := cluster.RESTMapper().RESTMapping(schema.GroupKind{Group: group, Kind: kind})
		if err != nil && !meta.IsNoMatchError(err) {
			return wait.Final(err)
		}
		return err
	})
}
