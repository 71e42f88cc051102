// SPDX-License-Identifier: Apache-2.0

package edge_test

import (
	"maps"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const (
	certificateField = "tls.clientCertificateSecretName"
	verifyOn         = "ssl_verify_client      on;"
	listenTLS        = " ssl;\n"
)

// allEdges are the cases, those about certificates in both versions of TLS.
func allEdges() map[string]edgeCase {
	all := map[string]edgeCase{}
	for version, protocol := range map[string]string{"TLS 1.2": "TLSv1.2", "TLS 1.3": "TLSv1.3"} {
		for name, c := range certificateEdges() {
			c.at = append([]edit{{verifyOn, "ssl_protocols " + protocol + ";\n    " + verifyOn}}, c.at...)
			all[name+", "+version] = c
		}
	}
	for _, more := range []map[string]edgeCase{refusingEdges(), limitingEdges(), redirectingEdges(), strangeEdges(),
		failingEdges()} {
		maps.Copy(all, more)
	}
	return all
}

// certificateEdges do not accept the client certificate (B100, B104).
func certificateEdges() map[string]edgeCase {
	required := edgeCase{
		reason: v1alpha1.ReasonCertificateRequired, message: []string{"demands a client certificate", certificateField},
		entry: []string{"spec." + certificateField, "nginx answers 400"}, table: "No required SSL certificate was sent",
	}
	rejected := edgeCase{
		reason:  v1alpha1.ReasonCertificateRejected,
		message: []string{"expired", "revoked", "authority that the proxy does not know", certificateField},
		entry:   []string{"spec." + certificateField, "nginx answers 400", "authority that it does not know"},
		table:   "The SSL certificate error",
	}
	with := func(c edgeCase, change func(*edgeEnv) func()) edgeCase { c.change = change; return c }
	return map[string]edgeCase{
		"no certificate": with(required, withoutCertificate),
		"no certificate, optional, return 496": with(required, both(nginxBecomes(
			edit{verifyOn, "ssl_verify_client optional;\n    if ($ssl_client_verify != SUCCESS) { return 496; }"}),
			withoutCertificate)),
		"an unknown authority": with(rejected, certificateBecomes(func(e *edgeEnv) map[string]string {
			return certs.ForTest(e.t, "strangers").IssueForTest(e.t, certs.Request{Usage: certs.Client}).Data()
		})),
		"expired": with(rejected, certificateBecomes(func(e *edgeEnv) map[string]string {
			return e.expiredCertificate().Data()
		})),
		"expired, optional": with(rejected, both(nginxBecomes(
			edit{verifyOn, "ssl_verify_client optional;\n    if ($ssl_client_verify != SUCCESS) { return 403; }"}),
			certificateBecomes(func(e *edgeEnv) map[string]string { return e.expiredCertificate().Data() }))),
		"revoked": with(rejected, func(e *edgeEnv) func() {
			e.writeRevocations(e.client)
			e.nginx.reload(e.sites)
			return func() { e.writeRevocations(); e.nginx.reload(e.sites) }
		}),
	}
}

// refusingEdges answer 401 or 403, or 400 without saying why.
func refusingEdges() map[string]edgeCase {
	refused := edgeCase{
		reason: v1alpha1.ReasonEdgeRefused, message: []string{"proxy", "says nothing about the token", "headers", "tls"},
		entry: []string{"spec.headers", "spec." + certificateField, "tokens need not be replaced"}, table: "401 or 403",
	}
	by := func(message string, change func(*edgeEnv) func()) edgeCase {
		c := refused
		c.change, c.message = change, append([]string{message}, refused.message...)
		return c
	}
	optional := func(answer string) func(*edgeEnv) func() {
		return both(nginxBecomes(
			edit{verifyOn, "ssl_verify_client optional;\n    if ($ssl_client_verify != SUCCESS) { " + answer + " }"}),
			withoutCertificate)
	}
	header := func(answer string) func(*edgeEnv) func() {
		return nginxBecomes(edit{verifyOn, verifyOn + "\n    if ($http_x_edge != another) { " + answer + " }"})
	}
	all := map[string]edgeCase{
		"no certificate, optional, 403": by("403 Forbidden", optional("return 403;")),
		"no certificate, optional, 401": by("401 Authorization Required", optional("return 401;")),
		"a header, 401":                 by("401 Authorization Required", header("return 401;")),
		"a header, 403":                 by("403 Forbidden", header("return 403;")),
		"an API gateway, 401": by("No API key found",
			answering(`default_type application/json; return 401 '{"message":"No API key found in request"}';`)),
		"an API gateway, 403": by("Forbidden",
			answering(`default_type application/json; return 403 '{"message":"Forbidden"}';`)),
	}
	limited := all["a header, 403"]
	limited.change, limited.table = optional("return 400;"), "other 4xx"
	limited.message = []string{"400 Bad Request", "says nothing about the token", "headers"}
	all["no certificate, optional, 400"] = limited
	return all
}

// limitingEdges allow less than the operator sends.
func limitingEdges() map[string]edgeCase {
	limited := edgeCase{
		reason: v1alpha1.ReasonEdgeRefused, message: []string{"limits of sizes", "headers"},
		entry: []string{"limits sizes, methods or paths", "shorten `spec.headers`", "raise the limits"},
	}
	by := func(table, message, directives string) edgeCase {
		c := limited
		c.table, c.message = table, append([]string{message}, limited.message...)
		c.change = nginxBecomes(edit{verifyOn, verifyOn + "\n    " + directives})
		return c
	}
	const zone = "limit_req_zone $binary_remote_addr zone=all:1m rate=1r/m;\nmap $http_upgrade"
	limit := func(directives string) func(*edgeEnv) func() {
		return nginxBecomes(edit{"map $http_upgrade", zone}, edit{verifyOn, verifyOn + "\n    " + directives})
	}
	return map[string]edgeCase{
		"long headers": by("Request Header Or Cookie Too Large", "400 Request Header Or Cookie Too Large",
			"client_header_buffer_size 256; large_client_header_buffers 1 512;"),
		"long URLs": by("414", "414 Request-URI Too Large", "if ($request_uri ~ /api) { return 414; }"),
		"methods":   by("405", "405 Not Allowed", "if ($request_method = GET) { return 405; }"),
		"429": {
			reason: v1alpha1.ReasonRateLimited, unknown: true, table: "429", message: []string{"rate limited", "retrying"},
			entry:  []string{"tried again automatically"},
			change: limit("limit_req zone=all; limit_req_status 429; add_header Retry-After 1 always;"),
		},
		"rate limit, 503": {
			reason: v1alpha1.ReasonUnreachable, unknown: true, table: "503",
			message: []string{"503 Service Temporarily Unavailable"}, entry: []string{"5xx"},
			change: limit("limit_req zone=all;"),
		},
	}
}

// redirectingEdges send the operator elsewhere.
func redirectingEdges() map[string]edgeCase {
	moved := edgeCase{
		reason: v1alpha1.ReasonRedirected, table: "another origin", entry: []string{"`spec.url`"},
	}
	signIn := edgeCase{
		reason: v1alpha1.ReasonRedirected, table: "sign-in page", entry: []string{"sign-in page", "spec.headers"},
	}
	to := func(c edgeCase, message []string, answer string) edgeCase {
		c.message, c.change = append([]string{"not followed"}, message...), answering("return "+answer+";")
		return c
	}
	secure := to(moved, []string{"redirects to https://127.0.0.1 ", "write that into url"},
		"301 https://$host$request_uri")
	secure.plain, secure.at = true, []edit{{listenTLS, ";\n"}}
	return map[string]edgeCase{
		"http to https": secure,
		"to the access URL": to(moved, []string{"redirects to https://coder.example.com ", "write that into url"},
			"307 https://coder.example.com$request_uri"),
		"to the root of the access URL": to(moved, []string{"https://coder.example.com ", "write that into url"},
			"308 https://coder.example.com"),
		"to a login page": to(signIn, []string{"https://127.0.0.1:", "if a proxy asks to sign in", "headers"},
			"302 /login?next=$request_uri"),
		"to another login page": to(signIn, []string{"https://sso.example.com ", "if a proxy asks to sign in", "headers"},
			"302 https://sso.example.com/start?rd=$request_uri"),
	}
}

// strangeEdges answer as no Coder server does.
func strangeEdges() map[string]edgeCase {
	page := func(title string) func(*edgeEnv) func() {
		return answering("return 200 '<!DOCTYPE html><html><head><title>" + title + "</title></head></html>';")
	}
	strange := edgeCase{
		reason: v1alpha1.ReasonUnexpectedAnswer, table: "200 with a page", entry: []string{"<spec.url>/api/v2/buildinfo"},
	}
	by := func(change func(*edgeEnv) func(), table string, message ...string) edgeCase {
		c := strange
		c.change, c.message = change, message
		if table != "" {
			c.table = table
		}
		return c
	}
	toHTTP := by(nginxBecomes(edit{listenTLS, ";\n"}), "http behind an https URL",
		"the server speaks http at this port: write http:// in url")
	toHTTPS := by(func(e *edgeEnv) func() {
		e.nginx.reload(apply(e.t, e.sites, edit{"listen " + e.address + ";", "listen " + e.address + listenTLS}))
		return func() { e.nginx.reload(e.sites) }
	}, "The plain HTTP request was sent to HTTPS port",
		"the server speaks https at this port: write https:// in url")
	toHTTPS.plain, toHTTPS.at = true, []edit{{listenTLS, ";\n"}}
	scheme := []string{"the scheme that the message names"}
	toHTTP.entry, toHTTPS.entry = scheme, scheme
	return map[string]edgeCase{
		"maintenance":                  by(page("Down for maintenance"), "", "Down for maintenance", "correct the url"),
		"a sign-in page":               by(page("Sign in"), "sign-in page", "Sign in", "see which proxy answers"),
		"no such site":                 by(answering("return 404;"), "404 with a page", "404 Not Found"),
		"an https URL of an http port": toHTTP,
		"an http URL of an https port": toHTTPS,
		"a page without a title":       by(page(""), "", "HTML answer from a proxy"),
	}
}

// failingEdges do not reach Coder, or are not trusted.
func failingEdges() map[string]edgeCase {
	away := edgeCase{reason: v1alpha1.ReasonUnreachable, unknown: true, entry: []string{"5xx", "a proxy", "time-out"}}
	by := func(table, message string, change func(*edgeEnv) func()) edgeCase {
		c := away
		c.table, c.message, c.change = table, []string{message}, change
		return c
	}
	untrusted := func(entry, message string, bad func(*edgeEnv) *certs.Certificate) edgeCase {
		return edgeCase{
			reason: v1alpha1.ReasonServerUntrusted, message: []string{"not trusted", message},
			entry: []string{entry}, table: "not trusted",
			change: func(e *edgeEnv) func() {
				good := e.Servers.IssueForTest(e.t, certs.Request{})
				e.writeServerCertificate(bad(e))
				e.nginx.reload(e.sites)
				return func() { e.writeServerCertificate(good); e.nginx.reload(e.sites) }
			},
		}
	}
	return map[string]edgeCase{
		"Coder is away": by("502", "502 Bad Gateway", func(e *edgeEnv) func() {
			e.listener.Stop()
			return func() { e.Must(e.listener.Restart()) }
		}),
		"Coder hangs": by("504", "504 Gateway Time-out", func(e *edgeEnv) func() {
			gate := coderd.NewGate()
			remove := e.Coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate})
			undo := nginxBecomes(edit{"proxy_read_timeout 60s;", "proxy_read_timeout 500ms;"})(e)
			return func() { remove(); gate.Release(); undo() }
		}),
		"maintenance, 503": by("503", "Back soon", answering("return 503 '<html><title>Back soon</title></html>';")),
		"no answer":        by("closed connection", "no answer from the server", answering("return 444;")),
		"not trusted": untrusted("`spec.tls.caBundle`", "add its authority to tls.caBundle",
			func(e *edgeEnv) *certs.Certificate { return certs.SelfSignedForTest(e.t, certs.Request{}) }),
		"another name": untrusted("`spec.tls.serverName`", "tls.serverName", func(e *edgeEnv) *certs.Certificate {
			return e.Servers.IssueForTest(e.t, certs.Request{DNSNames: []string{"coder.example.com"}})
		}),
		"an expired server": untrusted("renewed on the server", "renew it on the server",
			func(e *edgeEnv) *certs.Certificate {
				end := time.Now().Add(-time.Hour)
				return e.Servers.IssueForTest(e.t, certs.Request{NotBefore: end.Add(-time.Hour), NotAfter: end})
			}),
	}
}
