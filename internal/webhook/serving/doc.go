// SPDX-License-Identifier: Apache-2.0

// Package serving owns the webhook's serving certificate, unless an external tool provides one. It
// creates and renews the certificate, publishes its authority to the API server and uses it in TLS
// handshakes, without a mounted file, a restart or a gap.
//
//	          every replica                                           every replica
//	Secret ◄── rotator ──► caBundle of the                 Secret ──watch──► Certificates ──► TLS handshakes
//	        compare-and-swap   MutatingWebhookConfiguration
//
// Each certificate has its own authority, whose private key is discarded after signing it, so that
// no other certificate can ever be signed. A renewal has two steps, so that no replica ever
// presents a certificate that the API server does not trust yet:
//
//	current ──renewal due──► current + next
//	current + next ──the bundle trusts both, and all API servers have seen it──► next is current
//
// The authority of a replaced certificate stays in the bundle until it expires: a replica may
// present the old certificate for a moment longer. All state is in one Secret (see [Options.Name])
// that only this package writes, each time on the condition that it has not changed since it was
// read. So only one of several replicas takes each step, and after a crash at any point the same
// step is repeated. If the Secret is deleted, or the bundle emptied, it is recreated immediately.
//
// The open-policy-agent's cert-controller was considered and not used: it replaces authority and
// certificate in one step, it caches all Secrets of its namespace and watches all webhook
// configurations, which no role can restrict to one name, and it waits for the kubelet to mount the
// files.
//
// The package does not own the endpoint (internal/webhook) or the webhook configuration, of which
// it only writes caBundle.
package serving
