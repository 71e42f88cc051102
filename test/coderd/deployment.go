// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"time"
)

type buildInfoJSON struct {
	ExternalURL           string `json:"external_url"`
	Version               string `json:"version"`
	DashboardURL          string `json:"dashboard_url"`
	Telemetry             bool   `json:"telemetry"`
	WorkspaceProxy        bool   `json:"workspace_proxy"`
	AgentAPIVersion       string `json:"agent_api_version"`
	ProvisionerAPIVersion string `json:"provisioner_api_version"`
	UpgradeMessage        string `json:"upgrade_message"`
	DeploymentID          string `json:"deployment_id"`
	OAuth2Provider        *bool  `json:"oauth2_provider,omitempty"` // NEW
}

// buildInfo is contract B.1.
func (c *call) buildInfo() reply {
	out := buildInfoJSON{
		ExternalURL: "https://releases.example.test/" + c.opts.buildVersion(), Version: c.opts.buildVersion(),
		DashboardURL: c.opts.AccessURL, AgentAPIVersion: "2.8", ProvisionerAPIVersion: "1.15",
		DeploymentID: c.opts.DeploymentID,
	}
	if c.opts.isNew() {
		on := c.opts.providerOn()
		out.OAuth2Provider = &on
	}
	return jsonReply(http.StatusOK, out)
}

func (c *call) listExperiments() reply {
	return jsonReply(http.StatusOK, append([]string{}, c.opts.Experiments...))
}

// authScopes is B.6.
func (c *call) authScopes() reply {
	return jsonReply(http.StatusOK, map[string][]string{"external": externalScopes(c.opts)})
}

type deploymentConfigJSON struct {
	Config struct {
		SessionLifetime sessionLifetimeJSON `json:"session_lifetime"`
	} `json:"config"`
}

// sessionLifetimeJSON holds durations in nanoseconds. The switch is left out while it is false.
type sessionLifetimeJSON struct {
	DefaultDuration       time.Duration `json:"default_duration"`
	DefaultTokenLifetime  time.Duration `json:"default_token_lifetime"`
	MaxTokenLifetime      time.Duration `json:"max_token_lifetime"`
	MaxAdminTokenLifetime time.Duration `json:"max_admin_token_lifetime"`
	DisableExpiryRefresh  bool          `json:"disable_expiry_refresh,omitempty"`
}

// deploymentConfig shows the settings of sessions, the only ones that the contract names (B.1). The endpoint is not
// hidden, so a refusal is 403.
func (c *call) deploymentConfig() reply {
	if !c.mayReadConfig() {
		return forbiddenReply()
	}
	var out deploymentConfigJSON
	out.Config.SessionLifetime = sessionLifetimeJSON{
		DefaultDuration: c.opts.SessionDuration, DefaultTokenLifetime: c.opts.DefaultTokenLifetime,
		MaxTokenLifetime: c.opts.MaxTokenLifetime, MaxAdminTokenLifetime: c.opts.MaxAdminTokenLifetime,
		DisableExpiryRefresh: c.opts.DisableExpiryRefresh,
	}
	return jsonReply(http.StatusOK, out)
}

func (c *call) deploymentSSH() reply {
	return jsonReply(http.StatusOK, map[string]any{
		"hostname_prefix": "coder.", "hostname_suffix": "coder", "ssh_config_options": map[string]string{},
	})
}

type statsJSON struct {
	AggregatedFrom time.Time `json:"aggregated_from"`
	CollectedAt    time.Time `json:"collected_at"`
	NextUpdateAt   time.Time `json:"next_update_at"`
}

func (c *call) deploymentStats() reply {
	if !c.mayReadConfig() {
		return forbiddenReply()
	}
	return jsonReply(http.StatusOK, statsJSON{
		AggregatedFrom: c.now.Add(-time.Hour), CollectedAt: c.now, NextUpdateAt: c.now.Add(time.Minute),
	})
}

type authCheckRequest struct {
	Checks map[string]struct {
		Action string `json:"action"`
		Object struct {
			ResourceType string `json:"resource_type"`
			OwnerID      string `json:"owner_id"`
		} `json:"object"`
	} `json:"checks"`
}

// authCheck answers which of the named actions the caller may do (B.1). "me" names the caller as
// the owner.
func (c *call) authCheck() reply {
	var req authCheckRequest
	if refused := c.decodeBody(&req); refused != nil {
		return *refused
	}
	out := make(map[string]bool, len(req.Checks))
	for name, check := range req.Checks {
		owner := check.Object.OwnerID
		if owner == "me" {
			owner = c.key.user.id
		}
		resource := check.Object.ResourceType
		out[name] = c.roleMay(resource, check.Action, owner) && c.scopesPermit(resource, check.Action) &&
			allowListPermits(c.key.allowList, resource, "")
	}
	return jsonReply(http.StatusOK, out)
}
