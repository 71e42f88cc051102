package v1alpha1

// Condition types of a CoderDeployment. All are positive: True is good.
const (
	// ConditionReady sums up the others. It is there from the first look on.
	ConditionReady = "Ready"
	// ConditionConfigResolved is True when all Secrets and ConfigMaps that the
	// spec names are there and valid. It is there from the first look on.
	ConditionConfigResolved = "ConfigResolved"
	// ConditionVerified is True when the server accepted the settings. It is
	// absent until settings were resolved once.
	ConditionVerified = "Verified"
	// ConditionTokenRenewed is True while the operator's own token is renewed in
	// time. It is absent where token.renew is.
	ConditionTokenRenewed = "TokenRenewed"
	// ConditionCertificateCurrent is True while the client certificate is valid, and
	// for some time to come. It is absent where there is none.
	ConditionCertificateCurrent = "CertificateCurrent"
)

// Condition types of a CoderSession, besides Ready.
const (
	// ConditionAuthenticated is True when the server accepts the credential, False
	// when it refused it, Unknown when it could not be asked. It is absent until
	// there is a credential.
	ConditionAuthenticated = "Authenticated"
	// ConditionSecretSynced is True when the generated Secret holds the
	// credential. It is absent until there is something to write.
	ConditionSecretSynced = "SecretSynced"
	// ConditionLifetimeCut is True when the server allows less than the lifetime
	// that the spec asks for. It is absent otherwise: the only condition whose True
	// is a warning.
	ConditionLifetimeCut = "LifetimeCut"
	// ConditionTargetsRestarted is True when all workloads of spec.restart run with
	// the credential that is published, False while one is still to be rolled. It is
	// absent without such workloads, and until there is a credential.
	ConditionTargetsRestarted = "TargetsRestarted"
	// ConditionWorkspaceWatched is True while changes of the workspace of
	// spec.workspace are told by a stream, or one is being opened; False where the
	// server refuses one, so that they are noticed once in an interval only. It is
	// absent without a workspace, and where there is nothing to watch.
	ConditionWorkspaceWatched = "WorkspaceWatched"
)

// Reasons of a deployment's conditions.
const (
	// ReasonResolved: all references are there and valid.
	ReasonResolved = "Resolved"
	// ReasonReferenceMissing: a Secret, ConfigMap or key is not there.
	ReasonReferenceMissing = "ReferenceMissing"
	// ReasonReferenceInvalid: a value is there and cannot be used.
	ReasonReferenceInvalid = "ReferenceInvalid"
	// ReasonRenewed: the operator's own token is kept alive.
	ReasonRenewed = "Renewed"
	// ReasonVerified: the server answered and accepted the caller.
	ReasonVerified = "Verified"
	// ReasonUnauthorized: the server refused the credential with 401.
	ReasonUnauthorized = "Unauthorized"
	// ReasonForbidden: the server knows the caller and denies the request.
	ReasonForbidden = "Forbidden"
	// ReasonUserSuspended: the server knows the user and has suspended it.
	ReasonUserSuspended = "UserSuspended"
	// ReasonUnreachable: no answer of a Coder server. Asked again with backoff.
	ReasonUnreachable = "Unreachable"
	// ReasonRateLimited: the server asked for a pause.
	ReasonRateLimited = "RateLimited"
	// ReasonUnexpectedAnswer: what answers is no Coder server.
	ReasonUnexpectedAnswer = "UnexpectedAnswer"
	// ReasonCertificateRejected: the server wants another client certificate (TLS
	// alerts 42, 44, 45, 46): renew it in its Secret.
	ReasonCertificateRejected = "CertificateRejected"
	// ReasonCertificateUnsupported: TLS alert 43.
	ReasonCertificateUnsupported = "CertificateUnsupported"
	// ReasonCertificateAuthorityUnknown: the server does not trust the client
	// certificate's authority (TLS alert 48).
	ReasonCertificateAuthorityUnknown = "CertificateAuthorityUnknown"
	// ReasonCertificateAccessDenied: the certificate is valid and not let in (TLS
	// alert 49).
	ReasonCertificateAccessDenied = "CertificateAccessDenied"
	// ReasonCertificateRequired: the server wants a client certificate and the
	// settings have none (TLS alert 116).
	ReasonCertificateRequired = "CertificateRequired"
	// ReasonServerUntrusted: the server's certificate is not trusted.
	ReasonServerUntrusted = "ServerUntrusted"
	// ReasonCertificateValid: the client certificate is valid for some time to come.
	ReasonCertificateValid = "CertificateValid"
	// ReasonCertificateExpiring: the client certificate ends soon: renew it in its
	// Secret before it does.
	ReasonCertificateExpiring = "CertificateExpiring"
	// ReasonCertificateExpired: the client certificate has ended.
	ReasonCertificateExpired = "CertificateExpired"
	// ReasonCertificateNotYetValid: the client certificate's time has not begun.
	ReasonCertificateNotYetValid = "CertificateNotYetValid"
	// ReasonTerminating: the deployment is deleted and waits for its sessions.
	ReasonTerminating = "Terminating"
)

// Reasons of a session's Ready condition.
const (
	// ReasonActive: the Secret holds a credential that the server accepts.
	ReasonActive = "Active"
	// ReasonVerifying: the first credential is on its way.
	ReasonVerifying = "Verifying"
	// ReasonAwaitingDeployment: the deployment is missing or not verified.
	ReasonAwaitingDeployment = "AwaitingDeployment"
	// ReasonAwaitingAuthorization: a person has to consent.
	ReasonAwaitingAuthorization = "AwaitingAuthorization"
	// ReasonSuspended: the server refused the credential. It recovers by itself.
	ReasonSuspended = "Suspended"
	// ReasonReauthenticationRequired: the grant is gone, a person has to consent
	// again.
	ReasonReauthenticationRequired = "ReauthenticationRequired"
	// ReasonRetired: the deployment's retention keeps the credential away, because
	// nobody used it, or others were used more recently.
	ReasonRetired = "Retired"
	// ReasonPaused: spec.paused is set.
	ReasonPaused = "Paused"
	// ReasonSecretConflict: the name of the Secret belongs to somebody else.
	ReasonSecretConflict = "SecretConflict"
	// ReasonAccessDenied: no access rule allows what the session asks for.
	ReasonAccessDenied = "AccessDenied"
	// ReasonConfigInvalid: the spec or something that it names is wrong.
	ReasonConfigInvalid = "ConfigInvalid"
	// ReasonWorkspaceStopped: the workspace does not run.
	ReasonWorkspaceStopped = "WorkspaceStopped"
)

// Reasons of a session's retirement.
const (
	// RetirementIdle: the server has not seen its token used for
	// spec.retention.idleTimeout of its deployment.
	RetirementIdle = "Idle"
	// RetirementSessionLimit: spec.retention.maxSessions of its deployment others were
	// used more recently.
	RetirementSessionLimit = "SessionLimit"
)

// Reasons of a session's other conditions.
const (
	// ReasonAccepted: the server accepts the credential.
	ReasonAccepted = "Accepted"
	// ReasonSynced: the Secret holds the credential.
	ReasonSynced = "Synced"
	// ReasonTemplateInvalid: a template cannot be rendered.
	ReasonTemplateInvalid = "TemplateInvalid"
	// ReasonRestarted: all workloads run with the published credential.
	ReasonRestarted = "Restarted"
	// ReasonRolling: workloads are being rolled, or wait for their turn.
	ReasonRolling = "Rolling"
	// ReasonRolloutStuck: a rollout will not finish by itself.
	ReasonRolloutStuck = "RolloutStuck"
	// ReasonWatched: changes of the workspace are told at once.
	ReasonWatched = "Watched"
	// ReasonStreamRefused: the server refuses a stream of the workspace's changes.
	ReasonStreamRefused = "StreamRefused"
	// ReasonServerMaximum: the server's maximum for the user decides.
	ReasonServerMaximum = "ServerMaximum"
)

// Reasons of events that are no condition's.
const (
	// EventMinted: a token was minted and published.
	EventMinted = "Minted"
	// EventRotated: a token was replaced.
	EventRotated = "Rotated"
	// EventRevoked: tokens were revoked.
	EventRevoked = "Revoked"
	// EventRestarted: a workload is rolled because its credential changed.
	EventRestarted = "Restarted"
	// EventRestored: an edited or deleted Secret was put right.
	EventRestored = "Restored"
	// EventRevocationAbandoned: the server could not be reached in time; the
	// message names the tokens that may still be valid.
	EventRevocationAbandoned = "RevocationAbandoned"
)
