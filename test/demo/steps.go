package main

import (
	"context"
	"fmt"
	"time"
)

// step is one thing that the demo shows. It prints what it sees and returns an
// error at the first thing that is not as expected.
type step struct {
	title  string
	expect string
	run    func(context.Context) error
}

func (d *demo) steps() []step {
	return []step{
		{"The deployment is verified",
			"prod becomes Ready: all that it refers to is there, and the server knows the operator as its user.", d.showDeployment},
		{"The sessions are ready",
			"ci (minted for ci-bot), supplied (a token of ada's) and edge (no token, the certificate identifies) become Ready. " +
				"ada asks for OAuth, and waits until a person consents.", d.showSessions},
		{"The Secret that a workload gets",
			"Secret ci has all that the Coder CLI needs, and annotations that tell which token it holds. " +
				"No value is shown here: kubectl describe prints lengths.", d.showSecret},
		{"It works",
			"the server accepts a caller that has nothing but what the Secrets hold.", d.showRequests},
		{"Forty writes cost one verification",
			"certificate, key, CA and header are rewritten one by one, with half pairs, cut off PEM and wrong values in between; half way the " +
				"server changes its own certificate, CA and header, so that neither the old settings nor any of the states in between would do. " +
				"The operator waits until the writes have settled, then asks the server once. No session leaves Ready.", d.showBurst},
		{"A wrong certificate suspends whom it concerns",
			"coder-mtls gets a certificate of an authority that the server does not know. Session edge lives by that certificate and is Suspended; " +
				"ci has a token of its own, which is as good as before, and stays Ready.", d.showSuspension},
		{"It recovers by itself",
			"a right certificate is written to the Secret, and nothing else is touched. edge becomes Ready again.", d.showRecovery},
		{"A rotation that nobody notices",
			"another lifetime is asked for session ci, so its token is replaced. At every moment the token in the Secret is accepted; " +
				"the old one goes on working for the overlap (here 8s) and is revoked then.", d.showRotation},
		{"Deleting a session revokes its token",
			"session ci is deleted: its Secret is gone, and the server does not accept the token any more.", d.showDeletion},
		{"A person consents, once",
			"session ada shows the URL of Coder's consent page. User ada agrees there (the simulated server plays her and her browser) and is sent to " +
				"the operator, which fetches the grant, checks it and publishes its token. The server gives a token of one minute this time.",
			d.showConsent},
		{"A grant is refreshed before it ends",
			"session ada is to renew 52s before the end, which is 8s after the token was given. Secret ada-coder gets the next one, of a day; " +
				"with OAuth the old one dies at that moment, there is no overlap.", d.showRefresh},
		{"What a person revokes, only a person gives back",
			"user ada revokes the grant on the server. The operator asks at every verify.interval (2s here) and cannot refresh it: " +
				"ReauthenticationRequired, with a fresh URL. She consents again, and the session is Ready.", d.showReauthentication},
		{"Deleting the session gives all of it back",
			"session ada is deleted: the grant is revoked, and the client that was registered for it is deleted.", d.showGivingBack},
	}
}

func (d *demo) runSteps(ctx context.Context) error {
	started := time.Now()
	steps := d.steps()
	for i, s := range steps {
		d.term.heading(fmt.Sprintf("%d/%d  %s", i+1, len(steps), s.title))
		d.term.expect(s.expect)
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	d.term.heading(fmt.Sprintf("All %d steps were as expected, in %s.", len(steps), brief(time.Since(started))))
	return nil
}

// invite says what a person can do with what is running.
func (d *demo) invite() {
	d.term.heading("Everything stays up until Ctrl-C. In another terminal:")
	for _, line := range []string{
		"export KUBECONFIG=" + d.cluster.Kubeconfig,
		"export PATH=$PATH:" + d.kubectl.folderOfProgram(),
		"kubectl get cdep,cses -A -o wide",
		"kubectl -n coder describe cses edge",
		"kubectl -n coder get events",
		"kubectl apply -f " + d.root + "/config/samples/codersession-mint.yaml",
		"tail -f " + d.operator.log,
	} {
		d.term.note("%s", line)
	}
	d.term.note("")
	d.term.note("cdep and cses are short for coderdeployments and codersessions; the logs are in %s", d.folder.logs)
}
