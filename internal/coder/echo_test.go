// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// B143: an edge that repeats request headers in what it answers, in any form, does not put them into
// an error.
func TestAnEchoOfRequestHeadersIsTakenOut(t *testing.T) {
	t.Parallel()
	const edgeKey, password = "edge-K3Y/+42", "basic-p4ss"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("edge:"+password))
	echo := func(r *http.Request) string {
		var all strings.Builder
		_ = r.Header.Write(&all)
		escaped, _ := json.Marshal(all.String())
		return strings.Join([]string{strings.ReplaceAll(all.String(), "\r\n", " "), url.QueryEscape(all.String()), password,
			base64.StdEncoding.EncodeToString([]byte(all.String())), strings.Trim(string(escaped), `"`)}, " ")
	}
	for name, respond := range map[string]http.HandlerFunc{
		"an error of Coder's form": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusConflict)
			_ = json.NewEncoder(w).Encode(map[string]any{"message": echo(r), "detail": echo(r),
				"validations": []map[string]string{{"field": r.Header.Get("X-Edge"), "detail": echo(r)}}})
		},
		"a text": func(w http.ResponseWriter, r *http.Request) { http.Error(w, echo(r), http.StatusForbidden) },
		"a page": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<html><title>"+r.Header.Get("X-Edge")+" "+r.Header.Get("Authorization")+"</title>")
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "https://"+strings.ToLower(r.Header.Get("Coder-Session-Token"))+".example.com/"+
				url.PathEscape(echo(r)))
			w.WriteHeader(http.StatusFound)
		},
		"no HTTP": func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, strings.ReplaceAll(echo(r), "\n", " ")+"\r\n\r\n")
				_ = conn.Close()
			}
		},
		"a version": func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"version": r.Header.Get("X-Edge"),
				"deployment_id": r.Header.Get("Coder-Session-Token")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startServer(t, respond, withToken(sentinel), withHeader("X-Edge", edgeKey), withHeader("Authorization", basic))
			info, err := c.BuildInfo(t.Context())
			var failed *coder.Error
			said := fmt.Sprintf("%+v", info)
			if errors.As(err, &failed) {
				said += fmt.Sprintf("%v %s %s %s", err, failed.Message, failed.Field, failed.Location)
			}
			for _, value := range []string{sentinel, edgeKey, basic, password, strings.ToLower(sentinel),
				strings.TrimPrefix(basic, "Basic "), url.QueryEscape(edgeKey),
				base64.StdEncoding.EncodeToString([]byte(sentinel))[:40]} {
				if strings.Contains(said, value) {
					t.Errorf("it says %q: %s", value, said)
				}
			}
		})
	}
}
