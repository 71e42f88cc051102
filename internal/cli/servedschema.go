// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// maxSchemaSize is the largest OpenAPI document that is read, in bytes. That of the operator's group
// has some 200 KiB.
const maxSchemaSize = 8 << 20

// fieldSchema is the part of an OpenAPI schema that says which fields there are.
type fieldSchema struct {
	Title                string                  `json:"title"`
	Properties           map[string]*fieldSchema `json:"properties"`
	Items                *fieldSchema            `json:"items"`
	AdditionalProperties *fieldSchema            `json:"additionalProperties"`
}

// servedAPI is what the API server serves of the operator's group. Every user may read it.
type servedAPI struct {
	// kinds by name; nil: the group version is not served.
	kinds map[string]*fieldSchema
	// version of the CRDs, such as 0.2.0. Empty: they have none.
	version string
	// date is the API server's time, in whole seconds. Zero: it did not say.
	date time.Time
}

// readServedAPI reads the OpenAPI document of the operator's group version.
func (c *cluster) readServedAPI(ctx context.Context) (*servedAPI, error) {
	base, _, err := rest.DefaultServerUrlFor(c.config)
	if err != nil {
		return nil, err
	}
	http1, err := rest.HTTPClientFor(c.config)
	if err != nil {
		return nil, err
	}
	path := base.JoinPath("openapi", "v3", "apis", v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, path.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := http1.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	served := &servedAPI{}
	served.date, _ = http.ParseTime(response.Header.Get("Date"))
	switch response.StatusCode {
	case http.StatusNotFound:
		return served, nil
	case http.StatusOK:
	default:
		return nil, fmt.Errorf("the API server answers %s", response.Status)
	}
	var document struct {
		Components struct {
			Schemas map[string]*fieldSchema `json:"schemas"`
		} `json:"components"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxSchemaSize)).Decode(&document); err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", v1alpha1.GroupVersion, err)
	}
	served.kinds = map[string]*fieldSchema{}
	for name, schema := range document.Components.Schemas {
		served.kinds[name[strings.LastIndex(name, ".")+1:]] = schema
	}
	if session := served.kinds[v1alpha1.KindCoderSession]; session != nil {
		served.version = titleVersion(session.Title)
	}
	return served, nil
}

// missingFields returns the paths of the fields of a type that a schema does not have, such as
// spec.auth.mint.scopes. Types of other packages are not looked into.
func missingFields(t reflect.Type, schema *fieldSchema, path string) []string {
	switch {
	case schema == nil:
		return nil
	case t.Kind() == reflect.Pointer:
		return missingFields(t.Elem(), schema, path)
	case t.Kind() == reflect.Slice:
		return missingFields(t.Elem(), schema.Items, path)
	case t.Kind() == reflect.Map:
		return missingFields(t.Elem(), schema.AdditionalProperties, path)
	case t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[v1alpha1.CoderSession]().PkgPath():
		return nil
	}
	var missing []string
	for i := range t.NumField() {
		missing = append(missing, missingField(t.Field(i), schema, path)...)
	}
	return missing
}

// missingField returns the path of a field, or of those below it.
func missingField(field reflect.StructField, schema *fieldSchema, path string) []string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if name == "" { // its fields are those of the type around it
		return missingFields(field.Type, schema, path)
	}
	path = strings.TrimPrefix(path+"."+name, ".")
	below, found := schema.Properties[name]
	if !found {
		return []string{path}
	}
	return missingFields(field.Type, below, path)
}

// Topics of what the API server itself answers.
const (
	kindsTopic  = "CRDs"
	clocksTopic = "Clocks"
)

// checkAPI checks that both kinds are served with all fields that this version knows, and that the
// API server's clock agrees with that of this machine.
func (r *checkup) checkAPI(ctx context.Context) {
	served, err := r.cluster.readServedAPI(ctx)
	if err != nil {
		r.problem(kindsTopic, fmt.Sprintf("the API server cannot be asked: %v", err),
			"check --context and the network; kubectl version says more")
		return
	}
	good := true
	for _, kind := range []reflect.Type{
		reflect.TypeFor[v1alpha1.CoderDeployment](), reflect.TypeFor[v1alpha1.CoderSession](),
	} {
		schema := served.kinds[kind.Name()]
		if schema == nil {
			good = false
			r.problem(kindsTopic, fmt.Sprintf("the cluster has no CRD of %s in %s", kind.Name(), v1alpha1.GroupVersion),
				"install the CRDs: crds.install in the chart, or kubectl apply -k config/crd")
			continue
		}
		if missing := missingFields(kind, schema, ""); len(missing) > 0 {
			good = false
			r.problem(kindsTopic, fmt.Sprintf("the CRD of %s is that of another version: it has no %s", kind.Name(),
				joinSome(missing)), "upgrade the CRDs with the operator, or use the plugin of the operator's version")
		}
	}
	if good {
		r.ok(kindsTopic, "CoderDeployment and CoderSession are served with all fields that this plugin knows")
	}
	if older := compareVersions(r.env.Version, served.version); older != "" {
		r.warn("Plugin", older, updateRemedy)
	}
	r.checkClocks(served.date)
}

// joinSome names the first three of several things, and counts the rest.
func joinSome(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}

// maxClockSkew is how far clocks may differ: an answer may take a while, and has whole seconds.
const maxClockSkew = 10 * time.Second

func (r *checkup) checkClocks(date time.Time) {
	if date.IsZero() {
		r.notChecked(clocksTopic, "the API server does not say what time it is")
		return
	}
	skew := r.env.Clock.Now().Sub(date)
	switch {
	case skew > maxClockSkew:
		r.warn(clocksTopic, fmt.Sprintf("the clock of this machine is %s ahead of the API server's", formatDuration(skew)),
			"have both take their time from NTP: tokens seem to end too early or too late")
	case skew < -maxClockSkew:
		r.warn(clocksTopic, fmt.Sprintf("the clock of this machine is %s behind the API server's", formatDuration(-skew)),
			"have both take their time from NTP: tokens seem to end too early or too late")
	default:
		r.ok(clocksTopic, "this machine and the API server agree on the time")
	}
	r.apiServerTime = date
}
