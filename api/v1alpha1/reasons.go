// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "slices"

// Reasons returns the reasons of all conditions that the operator writes. Others are of another writer.
func Reasons() []string {
	return []string{
		ReasonResolved, ReasonReferenceMissing, ReasonReferenceInvalid, ReasonRenewed, ReasonRenewalScheduled,
		ReasonTokenValid, ReasonTokenExpiring, ReasonTokenExpired, ReasonTokenReverted, ReasonSecretManaged,
		ReasonSecretImmutable, ReasonVerified, ReasonUnauthorized, ReasonForbidden, ReasonUserSuspended,
		ReasonUnreachable, ReasonRateLimited, ReasonUnexpectedAnswer, ReasonEdgeRefused, ReasonRedirected,
		ReasonAddressDenied, ReasonProtected, ReasonPlainHTTP, ReasonCertificateUnchecked,
		ReasonTokenListTooLarge,
		ReasonCertificateRejected, ReasonCertificateUnsupported, ReasonCertificateAuthorityUnknown,
		ReasonCertificateAccessDenied, ReasonCertificateRequired, ReasonServerUntrusted, ReasonCertificateValid,
		ReasonCertificateExpiring, ReasonCertificateExpired, ReasonCertificateNotYetValid, ReasonAllTrusted,
		ReasonCertificatesSkipped, ReasonAPIServerRefused, ReasonAPIServerUnavailable, ReasonTerminating,
		ReasonActive, ReasonVerifying, ReasonAwaitingDeployment, ReasonAwaitingAuthorization, ReasonSuspended,
		ReasonReauthenticationRequired, ReasonRetired, ReasonPaused, ReasonSecretModified, ReasonSecretConflict,
		ReasonAccessDenied, ReasonConfigInvalid, ReasonWorkspaceStopped, ReasonWorkspaceUnknown,
		ReasonClientCertificateMissing, ReasonScopesGranted, ReasonServerIgnoresScopes,
		ReasonTemplateInvalid, ReasonSecretTooLarge, ReasonRestarted, ReasonRolling, ReasonRolloutStuck,
		ReasonWatched, ReasonStreamRefused, ReasonServerMaximum, ReasonDuplicateOperator,
		ReasonServingPods, ReasonAllPodsServed, ReasonPodLimitReached,
	}
}

// IsReason reports whether the operator writes a condition with this reason.
func IsReason(reason string) bool { return slices.Contains(Reasons(), reason) }
