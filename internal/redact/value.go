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
	// maxDepth bounds how deep values are rendered: a cycle of pointers ends there.
	maxDepth = 8
	// tooDeep stands for what lies deeper.
	tooDeep = "[...]"
	// unprintable stands for a value whose own method panicked.
	unprintable = "[unprintable]"
)

// sensitiveName matches names whose values are credentials whatever they look like. Names of public things (a token's
// id, a Secret's name) are not among them.
var sensitiveName = regexp.MustCompile(`(?i)^(?:token|coder[_-]session[_-]token|(?:proxy-)?authorization|(?:set-)?cookie|` +
	`.*password|client[_-]?secret|(?:access|refresh|session|registration[_-]?access)[_-]?token|code[_-]?verifier|` +
	`private[_-]?key|tls\.key)$`)

func sensitive(name string) bool { return sensitiveName.MatchString(name) }

// Value renders v for a log: as numbers, booleans, times, cleaned strings, and maps and slices of these, so that no
// encoder that comes later meets a method or a field of the original. Kubernetes objects become their name and namespace, byte
// slices their length; values under the name of a credential become [Mark]; unexported fields are left out.
func Value(v any) any { return render(v, 0) }

func render(v any, depth int) (out any) {
	defer func() {
		if recover() != nil { // the panic of somebody's String method; its text may quote the value
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
		return render(v.MarshalLog(), depth+1), true
	case slog.LogValuer:
		return render(v.LogValue().Resolve().Any(), depth+1), true
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

// errorText returns the cleaned text of an error, also of one whose Error method panics.
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
		return render(v.Elem().Interface(), depth+1)
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
		out[i] = render(v.Index(i).Interface(), depth+1)
	}
	return out
}

func renderMap(v reflect.Value, depth int) any {
	out := make(map[string]any, v.Len())
	for entries := v.MapRange(); entries.Next(); {
		key := fmt.Sprint(render(entries.Key().Interface(), depth+1))
		if sensitive(key) {
			out[key] = Mark
			continue
		}
		out[key] = render(entries.Value().Interface(), depth+1)
	}
	return out
}

func renderStruct(v reflect.Value, depth int) any {
	// Methods are often on the pointer, and an object given by value is still one.
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
		if sensitive(name) {
			out[name] = Mark
			continue
		}
		out[name] = render(v.Field(i).Interface(), depth+1)
	}
	return out
}
