// SPDX-License-Identifier: Apache-2.0

package coderd

// Resource types of the provider. None is in the catalogue of scopes, so that only keys with
// coder:all pass.
const (
	resourceOAuthApp      = "oauth2_app"
	resourceOAuthCode     = "oauth2_app_code_token"
	resourceOAuthSettings = "oauth2_settings"
)

// mayApp: every signed-in user may read apps, only owners may change them (contract C.3; the
// readers are chosen).
func (c *call) mayApp(action string) bool {
	return (action == actionRead || c.key.user.hasRole(RoleOwner)) && c.keyPermits(resourceOAuthApp, action)
}

func (c *call) mayOAuthSettings(action string) bool {
	return c.key.user.hasRole(RoleOwner) && c.keyPermits(resourceOAuthSettings, action)
}

// mayGrant: users grant access for themselves, and not with a restricted token.
func (c *call) mayGrant() bool { return c.keyPermits(resourceOAuthCode, actionCreate) }

func (c *call) keyPermits(resource, action string) bool {
	return c.scopesPermit(resource, action) && allowListPermits(c.key.allowList, resource, "")
}
