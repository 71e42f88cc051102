// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"encoding"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

const (
	// maxDepth is the maximum nesting of rendered values, which also ends cycles of pointers.
	maxDepth = 8
	// tooDeep replaces a value that is nested deeper.
	tooDeep = "[...]"
	// unprintable replaces a value whose own method panicked.
	unprintable = "[unprintable]"
)

// sensitiveName matches names whose values are always credentials. Names of public values (a
// token's ID, a Secret's name) do not match.
var sensitiveName = regexp.MustCompile(
	`(?i)^(?:token|coder[_-]session[_-]token|(?:proxy-)?authorization|(?:set-)?cookie|` +
		`.*password|client[_-]?secret|(?:access|refresh|session|registration[_-]?access)[_-]?token|code[_-]?verifier|` +
		`private[_-]?key|tls\.key)$`)

func isSensitive(name string) bool { return sensitiveName.MatchString(name) }

// Value renders v for a log: as numbers, booleans, times, redacted strings, and maps and slices of
// these, so that a later encoder calls no method and reads no field of the original. Kubernetes
// objects become their name and namespace, byte slices their length. Values whose name is that of a
// credential become [Mark]. Unexported fields are left out.
func Value(v any) any { return renderValue(v, 0) }

func renderValue(v any, depth int) (out any) {
	defer func() {
		if recover() != nil { // a String method panicked; the panic may quote the value
			out = unprintable
		}
	}()
	if v == nil {
		return nil
	}
	if depth > maxDepth {
		return tooDeep
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return nil
	}
	if out, ok := renderByMethod(v, depth); ok {
		return out
	}
	return renderByKind(reflect.ValueOf(v), depth)
}

// object is the part of a Kubernetes object that may be logged.
type object interface {
	GetName() string
	GetNamespace() string
}

func renderByMethod(v any, depth int) (any, bool) {
	switch v := v.(type) {
	case time.Time, time.Duration:
		return v, true
	case logr.Marshaler:
		return renderValue(v.MarshalLog(), depth+1), true
	case slog.LogValuer:
		return renderValue(v.LogValue().Resolve().Any(), depth+1), true
	case object:
		return map[string]any{"name": Text(v.GetName()), "namespace": Text(v.GetNamespace())}, true
	case error:
		return errorText(v), true
	case fmt.Stringer:
		return Text(v.String()), true
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			return unprintable, true
		}
		return Text(string(text)), true
	}
	return nil, false
}

// errorText returns the redacted text of an error, even if its Error method panics.
func errorText(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = unprintable
		}
	}()
	return Text(err.Error())
}

func renderByKind(v reflect.Value, depth int) any {
	switch v.Kind() {
	case reflect.String:
		return Text(v.String())
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64:
		return v.Interface()
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return renderValue(v.Elem().Interface(), depth+1)
	case reflect.Slice, reflect.Array:
		return renderList(v, depth)
	case reflect.Map:
		return renderMap(v, depth)
	case reflect.Struct:
		return renderStruct(v, depth)
	default: // functions, channels, complex numbers
		return "[" + v.Type().String() + "]"
	}
}

func renderList(v reflect.Value, depth int) any {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return fmt.Sprintf("[%d bytes]", v.Len())
	}
	out := make([]any, v.Len())
	for i := range out {
		out[i] = renderValue(v.Index(i).Interface(), depth+1)
	}
	return out
}

func renderMap(v reflect.Value, depth int) any {
	out := make(map[string]any, v.Len())
	for entries := v.MapRange(); entries.Next(); {
		key := fmt.Sprint(renderValue(entries.Key().Interface(), depth+1))
		if isSensitive(key) {
			out[key] = Mark
			continue
		}
		out[key] = renderValue(entries.Value().Interface(), depth+1)
	}
	return out
}

func renderStruct(v reflect.Value, depth int) any {
	// Methods often have pointer receivers, and an object passed by value has to be recognised too.
	copied := reflect.New(v.Type())
	copied.Elem().Set(v)
	if out, ok := renderByMethod(copied.Interface(), depth); ok {
		return out
	}
	out := make(map[string]any, v.NumField())
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			name = field.Name
		}
		if isSensitive(name) {
			out[name] = Mark
			continue
		}
		out[name] = renderValue(v.Field(i).Interface(), depth+1)
	}
	return out
}
