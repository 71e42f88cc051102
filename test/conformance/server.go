// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// meetServer finds out the server's profile, who the caller is and what can be asked.
func (r *run) meetServer(ctx context.Context) (*Report, error) {
	var build struct {
		Version  string `json:"version"`
		Provider *bool  `json:"oauth2_provider"`
	}
	if err := r.call(ctx, "", request{method: http.MethodGet, path: "/api/v2/buildinfo"}, &build); err != nil {
		return nil, fmt.Errorf("this is no Coder server, or it cannot be reached: %w", err)
	}
	report := &Report{Version: build.Version, Prefix: r.prefix}
	var err error
	report.Profile, report.Notes, err = chooseProfile(r.options.Profile, build.Version, build.Provider != nil)
	if err != nil {
		return nil, err
	}
	if err := r.meetCaller(ctx, report); err != nil {
		return nil, err
	}
	if err := r.findProvider(ctx); err != nil {
		return nil, err
	}
	r.findLogin(ctx)
	if err := r.findTemplate(ctx); err != nil {
		return nil, err
	}
	r.can["flood"] = r.options.Flood
	r.can["clock"] = r.options.MoveClock != nil
	if err := r.findLicense(ctx); err != nil {
		return nil, err
	}
	return report, r.findLimits(ctx)
}

// meetCaller says in the report what is not asked without the right of an owner.
func (r *run) meetCaller(ctx context.Context, report *Report) error {
	if r.callerToken == "" {
		report.Notes = append(report.Notes, "No token: only questions that need none are asked.")
		return nil
	}
	var refused *errStatus
	err := r.call(ctx, r.callerToken, request{method: http.MethodGet, path: "/api/v2/users/me"}, &r.caller)
	switch {
	case errors.As(err, &refused) && refused.status == http.StatusNotFound:
		report.Notes = append(report.Notes,
			"The token's scopes do not show whose it is: only questions that need no token are asked.")
		return nil
	case err != nil:
		return fmt.Errorf("the token is not accepted: %w", err)
	}
	if len(r.caller.OrganizationIDs) > 0 {
		r.organization = r.caller.OrganizationIDs[0]
	}
	if !r.limited() {
		return nil
	}
	report.Notes = append(report.Notes, fmt.Sprintf(
		"User %q is no owner: only questions about the user itself are asked.", r.caller.Username))
	r.users["ada"] = &user{id: r.caller.ID, username: r.caller.Username, email: r.caller.Email}
	r.users["ada"].token, err = r.mintToken(ctx, r.users["ada"], mintBody{Lifetime: tokenLifetime})
	if errors.As(err, &refused) {
		delete(r.users, "ada")
		report.Notes = append(report.Notes, "The token may not mint: only questions that need no token are asked.")
		return nil
	}
	return err
}

var errProfile = errors.New("the profile is R30, MID or NEW")

// chooseProfile goes by the version, and by the field that 2.38 brought: a suffix or a fork's own
// number may mislead (contract 0).
func chooseProfile(wanted Profile, version string, provider bool) (Profile, []string, error) {
	switch wanted {
	case ProfileR30, ProfileMid, ProfileNew:
		return wanted, nil, nil
	case "":
	default:
		return "", nil, errProfile
	}
	if provider {
		return ProfileNew, []string{
			"No server since 2.38 was recorded: its answers are expected to be those of 2.35, but for what is documented.",
		}, nil
	}
	minor := minorVersion(version)
	switch {
	case minor >= 31:
		return ProfileMid, nil, nil
	case minor == 30:
		return ProfileR30, nil, nil
	default:
		note := fmt.Sprintf("Version %s is older than 2.30, or has no number: compared with 2.30.", version)
		return ProfileR30, []string{note}, nil
	}
}

// minorVersion is the 35 of v2.35.0+abc; -1 if there is none.
func minorVersion(version string) int {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(parts) < 2 || parts[0] != "2" {
		return -1
	}
	minor, err := strconv.Atoi(parts[1])
	if err != nil {
		return -1
	}
	return minor
}

// findProvider asks whether the OAuth2 provider is on, and whether clients may register (contract 0).
func (r *run) findProvider(ctx context.Context) error {
	res, err := r.send(ctx, request{method: http.MethodPost, path: "/oauth2/tokens"})
	if err != nil {
		return err
	}
	on := res.status != http.StatusForbidden && res.status != http.StatusNotFound
	r.can["provider"], r.can["provider-off"] = on, !on
	if !on {
		return nil
	}
	var metadata struct {
		Registration string `json:"registration_endpoint"`
	}
	look := request{method: http.MethodGet, path: "/.well-known/oauth-authorization-server"}
	if err := r.call(ctx, "", look, &metadata); err != nil {
		return err
	}
	r.can["registration"] = metadata.Registration != ""
	r.can["registration-off"] = metadata.Registration == ""
	return nil
}

// findLogin asks whether users may log in with a password. Without the route all is said that is
// known; every other server says so without authentication.
func (r *run) findLogin(ctx context.Context) {
	var methods struct {
		Password struct {
			Enabled bool `json:"enabled"`
		} `json:"password"`
	}
	err := r.call(ctx, "", request{method: http.MethodGet, path: "/api/v2/users/authmethods"}, &methods)
	r.can["password"] = err == nil && methods.Password.Enabled
}

var errTemplate = errors.New("the server has no such template, or the caller may not see it")

// findTemplate looks up the template of --template.
func (r *run) findTemplate(ctx context.Context) error {
	if r.options.Template == "" {
		return nil
	}
	var all []struct {
		ID             string `json:"id"`
		Name           string `json:"name"`
		OrganizationID string `json:"organization_id"`
	}
	if err := r.call(ctx, r.callerToken, request{method: http.MethodGet, path: "/api/v2/templates"}, &all); err != nil {
		return fmt.Errorf("listing templates: %w", err)
	}
	for _, template := range all {
		if template.Name == r.options.Template {
			r.templateID, r.can["template"] = template.ID, true
			r.organization = template.OrganizationID
			return nil
		}
	}
	return fmt.Errorf("template %q: %w", r.options.Template, errTemplate)
}

// findLimits asks for the longest life of tokens, which some questions depend on.
func (r *run) findLimits(ctx context.Context) error {
	if r.limited() || r.callerToken == "" {
		return nil
	}
	a := &asking{run: r}
	bot, err := a.user(ctx, "bot")
	if err != nil {
		return err
	}
	admin, err := a.user(ctx, "admin")
	if err != nil {
		return err
	}
	most, err := r.maxLifetime(ctx, bot)
	if err != nil {
		return err
	}
	owners, err := r.maxLifetime(ctx, admin)
	r.can["max-48h"] = most == 48*time.Hour
	r.can["limits"] = most >= 365*24*time.Hour && owners == 168*time.Hour
	return err
}

// findLicense asks whether the build has enterprise parts, in which licenses exist.
func (r *run) findLicense(ctx context.Context) error {
	look := request{method: http.MethodGet, path: "/api/v2/entitlements"}
	look.headers = map[string]string{sessionHeader: r.callerToken}
	res, err := r.send(ctx, look)
	r.can["unlicensed"] = err == nil && res.status == http.StatusNotFound
	return err
}
