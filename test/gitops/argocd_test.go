// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// argoActions are the actions of a kind in argocd-cm.
type argoActions struct {
	Discovery   string `json:"discovery.lua"`
	Definitions []struct {
		Name   string `json:"name"`
		Action string `json:"action.lua"`
	} `json:"definitions"`
}

// argoHealthStatus is what a health check returns.
type argoHealthStatus struct{ Status, Message string }

// readIntegration reads a file of integrations.
func readIntegration(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "integrations", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// readArgoSetting returns a value of argocd-cm that is about a kind, such as "health".
func readArgoSetting(t *testing.T, what, kind string) string {
	t.Helper()
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	readIntegration(t, "argocd/argocd-cm.yaml", &configMap)
	value := configMap.Data["resource.customizations."+what+"."+v1alpha1.GroupVersion.Group+"_"+kind]
	if value == "" {
		t.Fatalf("argocd-cm.yaml has no %s of %s", what, kind)
	}
	return value
}

func readArgoActions(t *testing.T, kind string) argoActions {
	t.Helper()
	var actions argoActions
	if err := yaml.UnmarshalStrict([]byte(readArgoSetting(t, "actions", kind)), &actions); err != nil {
		t.Fatal(err)
	}
	return actions
}

// runLua runs a script as Argo CD does without useOpenLibs: with the libraries base, package and table,
// of os the clock only, and the object as obj. It returns what the script returns.
func runLua(t *testing.T, script string, object *unstructured.Unstructured) any {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	state.SetContext(t.Context())
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	state.PreloadModule(lua.OsLibName, openClock)
	state.SetGlobal("obj", toLua(state, object.DeepCopy().Object))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	return fromLua(state.Get(-1))
}

// openClock is the library os as far as Argo CD has it.
func openClock(state *lua.LState) int {
	full := lua.NewState()
	defer full.Close()
	clock := state.NewTable()
	for _, name := range []string{"time", "date"} {
		function, isFunction := full.GetField(full.GetGlobal(lua.OsLibName), name).(*lua.LFunction)
		if isFunction {
			clock.RawSetString(name, state.NewFunction(function.GFunction))
		}
	}
	state.Push(clock)
	return 1
}

// toLua converts a value of JSON.
func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

// fromLua converts a value of Lua. An empty table is a map.
func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value)
	case lua.LNumber:
		return int64(value)
	case lua.LString:
		return string(value)
	case *lua.LTable:
		if value.Len() > 0 {
			var list []any
			value.ForEach(func(_, item lua.LValue) { list = append(list, fromLua(item)) })
			return list
		}
		object := map[string]any{}
		value.ForEach(func(key, item lua.LValue) { object[key.String()] = fromLua(item) })
		return object
	}
	return nil
}

// argoHealth is what the health check of the object's kind returns.
func argoHealth(t *testing.T, object *unstructured.Unstructured) argoHealthStatus {
	t.Helper()
	returned, isTable := runLua(t, readArgoSetting(t, "health", object.GetKind()), object).(map[string]any)
	if !isTable {
		t.Fatal("the health check returns no table")
	}
	message, _ := returned["message"].(string)
	text, _ := returned["status"].(string)
	return argoHealthStatus{Status: text, Message: message}
}

// availableActions are the actions of an object that can be chosen, by name.
func availableActions(t *testing.T, object *unstructured.Unstructured) map[string]bool {
	t.Helper()
	available := map[string]bool{}
	found, _ := runLua(t, readArgoActions(t, object.GetKind()).Discovery, object).(map[string]any)
	for name, action := range found {
		disabled, _ := action.(map[string]any)["disabled"].(bool)
		available[name] = !disabled
	}
	return available
}

// act runs an action and returns the object that Argo CD then writes.
func act(t *testing.T, object *unstructured.Unstructured, name string) *unstructured.Unstructured {
	t.Helper()
	for _, definition := range readArgoActions(t, object.GetKind()).Definitions {
		if definition.Name == name {
			changed, _ := runLua(t, definition.Action, object).(map[string]any)
			return &unstructured.Unstructured{Object: changed}
		}
	}
	t.Fatalf("%s has no action %s", object.GetKind(), name)
	return nil
}

// B118: an object without status is on its way for Argo CD.
func TestArgoWaitsForAnObjectWithoutStatus(t *testing.T) {
	t.Parallel()
	for kind := range readyReasons {
		object := newObject(t, kind)
		delete(object.Object, "status")
		if got := argoHealth(t, object); got.Status != "Progressing" {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

func TestArgoRequestsTakeTheTime(t *testing.T) {
	t.Parallel()
	for kind, request := range map[string]struct{ action, annotation string }{
		deployment: {"verify", v1alpha1.AnnotationVerifyRequestedAt},
		session:    {"renew", v1alpha1.AnnotationRenewRequestedAt},
	} {
		object := newObject(t, kind)
		for _, annotations := range []map[string]string{nil, {"team": "ci"}} {
			object.SetAnnotations(annotations)
			if !availableActions(t, object)[request.action] {
				t.Errorf("%s cannot be chosen", request.action)
			}
			changed := act(t, object, request.action).GetAnnotations()
			at, err := time.Parse(time.RFC3339, changed[request.annotation])
			if err != nil || at.IsZero() || changed["team"] != annotations["team"] {
				t.Errorf("%s: annotations %v: %v", request.action, changed, err)
			}
		}
	}
}

func TestArgoPausesAndResumes(t *testing.T) {
	t.Parallel()
	running := newObject(t, session,
		metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonActive})
	paused := act(t, running, "pause")
	if isPaused, _, _ := unstructured.NestedBool(paused.Object, "spec", "paused"); !isPaused {
		t.Errorf("pause: %v", paused.Object["spec"])
	}
	resumed := act(t, paused, "resume")
	if _, found, _ := unstructured.NestedBool(resumed.Object, "spec", "paused"); found {
		t.Errorf("resume leaves a field that is not in Git: %v", resumed.Object["spec"])
	}
	for name, object := range map[string]*unstructured.Unstructured{"running": running, "paused": paused} {
		isPaused := name == "paused"
		for action, want := range map[string]bool{"renew": !isPaused, "pause": !isPaused, "resume": isPaused} {
			if got, found := availableActions(t, object)[action]; got != want || !found {
				t.Errorf("%s: %s can be chosen: %t", name, action, got)
			}
		}
	}
}

// Each action that is offered is defined, and each that is defined is offered.
func TestArgoActionsAreDefined(t *testing.T) {
	t.Parallel()
	for kind := range readyReasons {
		offered := availableActions(t, newObject(t, kind))
		definitions := readArgoActions(t, kind).Definitions
		for _, definition := range definitions {
			if _, found := offered[definition.Name]; !found {
				t.Errorf("%s: %s is never offered", kind, definition.Name)
			}
		}
		if len(offered) != len(definitions) {
			t.Errorf("%s: %d actions are offered, %d defined", kind, len(offered), len(definitions))
		}
	}
}
