// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

const (
	// quietPeriod is the default of spec.verify.quietPeriod, which the sample does
	// not change.
	quietPeriod = 500 * time.Millisecond
	// watchTime is how long the demo looks out for a second verification.
	watchTime = 4 * quietPeriod
	// attempts is how often the burst is tried on a machine that is too busy to write without pauses.
	attempts = 3
)

func (d *demo) showBurst(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		paused, err := d.tryBurst(ctx)
		if paused < quietPeriod || attempt == attempts || ctx.Err() != nil {
			return err
		}
		d.term.Note("this machine paused for %s between two writes, longer than the quiet period of %s: once more",
			walk.Brief(paused), quietPeriod)
	}
}

// tryBurst returns the longest pause between two writes beside what went wrong.
func (d *demo) tryBurst(ctx context.Context) (time.Duration, error) {
	next, err := d.material.nextMaterial()
	if err != nil {
		return 0, err
	}
	changes, err := changesTo(next)
	if err != nil {
		return 0, err
	}
	// An attempt before may have left the deployment unverified.
	if err := d.allReady(ctx); err != nil {
		return 0, err
	}
	sessions, err := d.watchReady(ctx, workingSessions)
	if err != nil {
		return 0, err
	}
	defer sessions.stop()
	before, err := d.coder.Verifications(ctx)
	if err != nil {
		return 0, err
	}
	took, longest, err := d.runBurst(ctx, changes, next)
	if err != nil {
		return longest, err
	}
	d.material = next
	d.term.Note("%d writes to coder-mtls, coder-edge and corp-ca in %s, the longest pause %s: "+
		"%d half pairs, %d cut off CA bundles, %d wrong headers",
		len(changes), walk.Brief(took), walk.Brief(longest), rounds, rounds-1, rounds-1)
	return longest, d.burstSeen(ctx, before, sessions)
}

func (d *demo) allReady(ctx context.Context) error {
	if _, err := walk.Await(ctx, "CoderDeployment prod is Ready (Verified)",
		d.deploymentIs(v1alpha1.ReasonVerified)); err != nil {
		return err
	}
	for _, name := range workingSessions {
		if _, err := walk.Await(ctx, "CoderSession "+name+" is Ready (Active)",
			d.sessionIs(name, v1alpha1.ReasonActive)); err != nil {
			return err
		}
	}
	return nil
}

// burstSeen checks the effects of a burst.
func (d *demo) burstSeen(ctx context.Context, before int, sessions *watcher) error {
	took, err := walk.Await(ctx,
		"the Secrets "+mintedSession+" and "+certificateSession+" have the new certificate, CA and header", d.hasNewMaterial)
	if err != nil {
		return err
	}
	once := func(ctx context.Context) (string, bool, error) {
		now, err := d.coder.Verifications(ctx)
		return fmt.Sprintf("%d verifications (GET /api/v2/buildinfo)", now-before), now-before == 1, err
	}
	if err := walk.Stays(ctx, watchTime, "1 verification (GET /api/v2/buildinfo)", once); err != nil {
		return err
	}
	if left := sessions.stop(); len(left) > 0 {
		return &walk.UnexpectedError{Expected: "no session leaves Ready", Seen: strings.Join(left, "; ")}
	}
	if err := d.kubectl.Show(ctx, "get", "cdep,cses", "-n", namespace); err != nil {
		return err
	}
	d.term.Seen("the generated Secrets have the new material %s after the last write", walk.Brief(took))
	d.term.Seen("the server was asked once: GET /api/v2/buildinfo counted %d before and %d after", before, before+1)
	d.term.Seen("no session left Ready, not for a moment")
	return nil
}

// hasNewMaterial reports whether the generated Secrets hold the material in force.
func (d *demo) hasNewMaterial(ctx context.Context) (string, bool, error) {
	for _, name := range []string{mintedSession, certificateSession} {
		secret, err := d.getSecret(ctx, name)
		if err != nil {
			return "", false, err
		}
		for key, want := range map[string]string{
			"tls.crt": string(d.material.client.CertPEM),
			"ca.crt":  string(d.material.servers.PEM()),
			"headers": headerName + "=" + d.material.header,
		} {
			if strings.TrimSpace(string(secret.Data[key])) != strings.TrimSpace(want) {
				return fmt.Sprintf("Secret %s has another %s", name, key), false, nil
			}
		}
	}
	return "all is new", true, nil
}
