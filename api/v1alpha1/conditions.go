// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of a CoderDeployment. All but Stalled are positive: True is good. Ready and Stalled are
// also conditions of a CoderSession.
const (
	// ConditionStalled is True while a person has to correct something, with the reason and message of
	// Ready. Tools that wait for objects as kstatus does stop waiting then. It is absent otherwise, and
	// while a Secret or ConfigMap that the spec names is missing.
	ConditionStalled = "Stalled"
	// ConditionReady sums up the others: True when the object does what it is for. It is never
	// absent once the operator has looked at the object.
	ConditionReady = "Ready"
	// ConditionConfigResolved is True when all Secrets and ConfigMaps that the spec names are there
	// and valid. It is never absent once the operator has looked at the object.
	ConditionConfigResolved = "ConfigResolved"
	// ConditionVerified is True when the server accepted the settings, False when it refused them,
	// Unknown when it could not be asked. It is absent until all references were resolved once.
	ConditionVerified = "Verified"
	// ConditionTokenRenewed is True while the operator's own token is renewed in time, False with
	// the reason of the request that failed. It is absent without spec.token.renew.
	ConditionTokenRenewed = "TokenRenewed"
	// ConditionTokenCurrent is True while the operator's own token does not end soon, or is renewed.
	// It does not change Ready. It is absent without a token whose end is known.
	ConditionTokenCurrent = "TokenCurrent"
	// ConditionCertificateCurrent is True while the client certificate is valid and does not end
	// soon. It does not change Ready. It is absent without a client certificate.
	ConditionCertificateCurrent = "CertificateCurrent"
	// ConditionCABundleComplete is True while all certificates of spec.tls.caBundle are trusted, False
	// while some of them cannot be read. It does not change Ready. It is absent without spec.tls.caBundle.
	ConditionCABundleComplete = "CABundleComplete"
	// ConditionIdentityUnique is False while another operator mints tokens with this one's cluster id, of
	// the deployment or of one of its sessions. It is also a condition of CoderSessions, about the
	// session's tokens. It does not change Ready. It is absent otherwise.
	ConditionIdentityUnique = "IdentityUnique"
	// ConditionTransportProtected is True while the server is reached by https with a certificate that
	// is checked, False while what is sent can be read or changed on the way. It does not change Ready.
	ConditionTransportProtected = "TransportProtected"
	// ConditionTokensListed is False while the operator does not keep the server's list of tokens, because
	// it is too large. Revoked and forgotten tokens are not noticed then. It does not change Ready. It is
	// absent otherwise.
	ConditionTokensListed = "TokensListed"
)

// Condition types of a CoderSession, besides Ready and Stalled. All but LifetimeCut are positive: True is good.
// Authenticated and SecretSynced are there only while something is wrong.
const (
	// ConditionAuthenticated is False when the server refused the credential, Unknown when it could not
	// be asked, or the Secret of a supplied token is missing. It is absent while the server accepts the
	// credential, and until there is one. A session with a good credential has it because its
	// CoderDeployment is not ready only after verify.interval (five minutes at most), and up to as long again.
	ConditionAuthenticated = "Authenticated"
	// ConditionSecretSynced is False when the generated Secret is not as it should be or cannot be
	// written, Unknown when it cannot be read. It is absent otherwise.
	ConditionSecretSynced = "SecretSynced"
	// ConditionLifetimeCut is True when the server allows less than the lifetime that the spec asks
	// for. It is negative: True is a warning. It is absent otherwise.
	ConditionLifetimeCut = "LifetimeCut"
	// ConditionScopesGranted is True when the server limits the token to the scopes and the
	// allow-list that were asked for, False when the token may do more. It does not change Ready. It is
	// absent without a token, and if neither scopes nor an allow-list were asked for.
	ConditionScopesGranted = "ScopesGranted"
	// ConditionTargetsRestarted is True when all workloads of spec.restart run with the credential
	// that is published, False while one of them does not. It is absent without such workloads, and
	// until there is a credential.
	ConditionTargetsRestarted = "TargetsRestarted"
	// ConditionWorkspaceWatched is True while changes of the workspace of spec.workspace are streamed,
	// or a stream is being opened; False when the server refuses a stream, so that changes are
	// noticed once in spec.verify.interval only. It is absent without spec.workspace, and while the
	// server knows no such workspace.
	ConditionWorkspaceWatched = "WorkspaceWatched"
	// ConditionPodsServed is True while every pod that asks for a session with perPod has a token, or
	// is getting one; False while some wait. It is absent without spec.perPod.
	ConditionPodsServed = "PodsServed"
)

// DeploymentConditionTypes returns the types of all conditions that a CoderDeployment can have. The
// operator owns these conditions and removes others from status.
func DeploymentConditionTypes() []string {
	return []string{
		ConditionReady, ConditionStalled,
		ConditionConfigResolved,
		ConditionVerified,
		ConditionTokenRenewed,
		ConditionTokenCurrent,
		ConditionCertificateCurrent,
		ConditionCABundleComplete,
		ConditionIdentityUnique,
		ConditionTransportProtected,
		ConditionTokensListed,
	}
}

// SessionConditionTypes returns the types of all conditions that a CoderSession can have. The
// operator owns these conditions and removes others from status.
func SessionConditionTypes() []string {
	return []string{
		ConditionReady, ConditionStalled,
		ConditionAuthenticated,
		ConditionSecretSynced,
		ConditionLifetimeCut,
		ConditionScopesGranted,
		ConditionTargetsRestarted,
		ConditionWorkspaceWatched,
		ConditionIdentityUnique,
		ConditionPodsServed,
	}
}

// Reasons of the conditions of a CoderDeployment. The conditions Authenticated and SecretSynced of
// a CoderSession, and status.suspension, can have them, too.
const (
	// ReasonResolved: all Secrets and ConfigMaps that the spec names are there and valid.
	ReasonResolved = "Resolved"
	// ReasonReferenceMissing: a Secret, ConfigMap or key is not there.
	ReasonReferenceMissing = "ReferenceMissing"
	// ReasonReferenceInvalid: a Secret or ConfigMap is there, and its value cannot be used.
	ReasonReferenceInvalid = "ReferenceInvalid"
	// ReasonRenewed: the operator's own token was renewed, and will be again before it ends.
	ReasonRenewed = "Renewed"
	// ReasonRenewalScheduled: the operator's own token was not renewed yet, and will be before it
	// ends.
	ReasonRenewalScheduled = "RenewalScheduled"
	// ReasonTokenValid: the operator's own token does not end soon, or is renewed before.
	ReasonTokenValid = "TokenValid"
	// ReasonTokenExpiring: the operator's own token is in the last fifth of its time, and is not
	// renewed.
	ReasonTokenExpiring = "TokenExpiring"
	// ReasonTokenExpired: the operator's own token has ended.
	ReasonTokenExpired = "TokenExpired"
	// ReasonTokenReverted: another writer has put a former token of the operator back into its Secret.
	ReasonTokenReverted = "TokenReverted"
	// ReasonSecretManaged: the Secret of the operator's own token belongs to another controller, which
	// would put the former token back.
	ReasonSecretManaged = "SecretManaged"
	// ReasonSecretImmutable: the Secret of the operator's own token cannot be changed.
	ReasonSecretImmutable = "SecretImmutable"
	// ReasonVerified: the server answered and accepted the caller.
	ReasonVerified = "Verified"
	// ReasonUnauthorized: the server refused the credential (401).
	ReasonUnauthorized = "Unauthorized"
	// ReasonForbidden: the server knows the caller and denies the request (403).
	ReasonForbidden = "Forbidden"
	// ReasonUserSuspended: the user is suspended on the server.
	ReasonUserSuspended = "UserSuspended"
	// ReasonUnreachable: the server does not answer. It is asked again with backoff.
	ReasonUnreachable = "Unreachable"
	// ReasonRateLimited: the server asked for a pause, or spec.rateLimit is used up. It is asked
	// again automatically.
	ReasonRateLimited = "RateLimited"
	// ReasonUnexpectedAnswer: what answers is not a Coder server.
	ReasonUnexpectedAnswer = "UnexpectedAnswer"
	// ReasonEdgeRefused: something in front of the server refuses the request (a 4xx that is not
	// Coder's), because of a header, the client certificate or a limit. It says nothing about a token.
	ReasonEdgeRefused = "EdgeRefused"
	// ReasonAddressDenied: the operator does not connect to the address of the server or of the proxy.
	ReasonAddressDenied = "AddressDenied"
	// ReasonRedirected: the answer is a redirect, which is not followed.
	ReasonRedirected = "Redirected"
	// ReasonCertificateRejected: the server does not accept the client certificate any more: it has
	// expired, was revoked, or is damaged (TLS alerts 42, 44, 45, 46; nginx answers 400).
	ReasonCertificateRejected = "CertificateRejected"
	// ReasonCertificateUnsupported: the server does not accept this type of client certificate (TLS
	// alert 43).
	ReasonCertificateUnsupported = "CertificateUnsupported"
	// ReasonCertificateAuthorityUnknown: the server does not trust the authority that signed the
	// client certificate (TLS alert 48).
	ReasonCertificateAuthorityUnknown = "CertificateAuthorityUnknown"
	// ReasonCertificateAccessDenied: the client certificate is valid, and the server does not let its
	// subject in (TLS alert 49).
	ReasonCertificateAccessDenied = "CertificateAccessDenied"
	// ReasonCertificateRequired: the server demands a client certificate, and the spec names none
	// (TLS alert 116; nginx answers 400).
	ReasonCertificateRequired = "CertificateRequired"
	// ReasonServerUntrusted: the operator does not trust the server's certificate.
	ReasonServerUntrusted = "ServerUntrusted"
	// ReasonCertificateValid: the client certificate is valid and does not end soon.
	ReasonCertificateValid = "CertificateValid"
	// ReasonCertificateExpiring: the client certificate ends within 7 days, or within the last fifth
	// of its time.
	ReasonCertificateExpiring = "CertificateExpiring"
	// ReasonCertificateExpired: the client certificate has ended.
	ReasonCertificateExpired = "CertificateExpired"
	// ReasonCertificateNotYetValid: the client certificate's time has not begun.
	ReasonCertificateNotYetValid = "CertificateNotYetValid"
	// ReasonProtected: the transport is encrypted, and the server's certificate is checked.
	ReasonProtected = "Protected"
	// ReasonPlainHTTP: spec.url is an http URL.
	ReasonPlainHTTP = "PlainHTTP"
	// ReasonCertificateUnchecked: spec.tls.insecureSkipVerify is set.
	ReasonCertificateUnchecked = "CertificateUnchecked"
	// ReasonTokenListTooLarge: the list of the server's tokens is larger than a list may be, or does not fit
	// into the memory for the lists of all CoderDeployments.
	ReasonTokenListTooLarge = "TokenListTooLarge"
	// ReasonAllTrusted: all certificates of the CA bundle are trusted.
	ReasonAllTrusted = "AllTrusted"
	// ReasonCertificatesSkipped: certificates of the CA bundle cannot be read and are not trusted. The
	// others are.
	ReasonCertificatesSkipped = "CertificatesSkipped"
	// ReasonAPIServerRefused: the Kubernetes API server refuses a request of the operator: a quota, an
	// admission policy, a missing right, an invalid or too large object.
	ReasonAPIServerRefused = "APIServerRefused"
	// ReasonAPIServerUnavailable: the Kubernetes API server does not serve the operator. It is asked
	// again automatically.
	ReasonAPIServerUnavailable = "APIServerUnavailable"
	// ReasonTerminating: the object is deleted; a CoderDeployment waits for its sessions, a
	// CoderSession revokes its tokens.
	ReasonTerminating = "Terminating"
)

// Reasons of the Ready condition of a CoderSession. Of a CoderDeployment, Ready has those of its
// other conditions, and ConfigInvalid.
const (
	// ReasonServingPods: each pod that asks for the session gets a token of its own (perPod).
	ReasonServingPods = "ServingPods"
	// ReasonActive: the Secret holds a credential that the server accepts.
	ReasonActive = "Active"
	// ReasonVerifying: a credential is being fetched or checked.
	ReasonVerifying = "Verifying"
	// ReasonAwaitingDeployment: the CoderDeployment is missing or not ready, or what it was needed
	// for failed.
	ReasonAwaitingDeployment = "AwaitingDeployment"
	// ReasonAwaitingAuthorization: a person has to consent.
	ReasonAwaitingAuthorization = "AwaitingAuthorization"
	// ReasonSuspended: the server refuses the credential. The session recovers automatically when
	// the cause is gone.
	ReasonSuspended = "Suspended"
	// ReasonReauthenticationRequired: the grant has ended, and a person has to consent again.
	ReasonReauthenticationRequired = "ReauthenticationRequired"
	// ReasonRetired: spec.retention of the CoderDeployment keeps the credential away, because it was
	// not used, or others were used more recently.
	ReasonRetired = "Retired"
	// ReasonPaused: spec.paused is set.
	ReasonPaused = "Paused"
	// ReasonSecretModified: another writer, or an admission policy, changes the generated Secret whenever
	// the operator writes it.
	ReasonSecretModified = "SecretModified"
	// ReasonSecretConflict: a Secret of that name exists and is not the session's.
	ReasonSecretConflict = "SecretConflict"
	// ReasonAccessDenied: no rule of spec.access of the CoderDeployment allows what the session asks
	// for.
	ReasonAccessDenied = "AccessDenied"
	// ReasonConfigInvalid: the spec, or an object that it names, is wrong.
	ReasonConfigInvalid = "ConfigInvalid"
	// ReasonWorkspaceStopped: the workspace of spec.workspace does not run.
	ReasonWorkspaceStopped = "WorkspaceStopped"
	// ReasonWorkspaceUnknown: the server has no workspace with the name and owner in spec.workspace,
	// or the operator may not see it.
	ReasonWorkspaceUnknown = "WorkspaceUnknown"
)

// Reasons of status.retirement of a CoderSession.
const (
	// RetirementIdle: its token was not used for spec.retention.idleTimeout of the CoderDeployment.
	RetirementIdle = "Idle"
	// RetirementSessionLimit: there are more sessions than spec.retention.maxSessions of the
	// CoderDeployment, and the others were used more recently.
	RetirementSessionLimit = "SessionLimit"
)

// Reasons of the other conditions of a CoderSession.
const (
	// ReasonClientCertificateMissing: secret.includeClientCertificate is set, and the CoderDeployment has
	// neither a client certificate nor a CA bundle.
	ReasonClientCertificateMissing = "ClientCertificateMissing"
	// ReasonScopesGranted: the server limits the token to the scopes and the allow-list that were asked
	// for.
	ReasonScopesGranted = "Granted"
	// ReasonServerIgnoresScopes: the token may do more than was asked for, mostly because the server
	// ignores scopes: of OAuth before Coder 2.38, of minted tokens up to 2.24.
	ReasonServerIgnoresScopes = "ServerIgnoresScopes"
	// ReasonTemplateInvalid: a template of spec.secret.template cannot be rendered.
	ReasonTemplateInvalid = "TemplateInvalid"
	// ReasonSecretTooLarge: the generated Secret would have more bytes than the Kubernetes API server
	// accepts.
	ReasonSecretTooLarge = "SecretTooLarge"
	// ReasonRestarted: all workloads of spec.restart run with the published credential.
	ReasonRestarted = "Restarted"
	// ReasonRolling: workloads are being rolled, or wait for their turn.
	ReasonRolling = "Rolling"
	// ReasonRolloutStuck: a rollout will not finish by itself.
	ReasonRolloutStuck = "RolloutStuck"
	// ReasonWatched: changes of the workspace are noticed at once.
	ReasonWatched = "Watched"
	// ReasonAllPodsServed: no pod waits for a token.
	ReasonAllPodsServed = "AllPodsServed"
	// ReasonPodLimitReached: pods wait for a token until others have ended.
	ReasonPodLimitReached = "PodLimitReached"
	// ReasonStreamRefused: the server refuses a stream of the workspace's changes.
	ReasonStreamRefused = "StreamRefused"
	// ReasonServerMaximum: the server's maximum for the user is shorter than the lifetime that is
	// asked for.
	ReasonServerMaximum = "ServerMaximum"
	// ReasonDuplicateOperator: another operator with the same cluster id mints tokens, mostly that of a
	// clone of the cluster.
	ReasonDuplicateOperator = "DuplicateOperator"
)

// Reasons of events, besides those of Ready.
const (
	// EventPodNotServed: a pod gets no token of its own; the message says why.
	EventPodNotServed = "PodNotServed"
	// EventRotated: a token was replaced for another reason than that it was about to end.
	EventRotated = "Rotated"
	// EventRevoked: tokens were revoked for another reason than that they were replaced.
	EventRevoked = "Revoked"
	// EventRestarted: a workload is rolled because its credential changed.
	EventRestarted = "Restarted"
	// EventRestored: an edited or deleted generated Secret was put right.
	EventRestored = "Restored"
	// EventRevocationAbandoned: the server could not be reached in time; the
	// message names the tokens that may still be valid.
	EventRevocationAbandoned = "RevocationAbandoned"
	// EventRevocationRefused: a token was not revoked, because the operator did not mint it.
	EventRevocationRefused = "RevocationRefused"
)
