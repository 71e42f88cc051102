// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"

	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

func (d *demo) listSteps() []walk.Step {
	return []walk.Step{
		{Title: "The deployment is verified",
			Expect: "prod becomes Ready: all that it refers to is there, and the server knows the operator as its user.",
			Run:    d.showDeployment},
		{Title: "The sessions are ready",
			Expect: "ci (minted for ci-bot), supplied (a token of ada's) and edge (no token, the certificate identifies) " +
				"become Ready. ada asks for OAuth, and waits until a person consents.",
			Run: d.showSessions},
		{Title: "The Secret that a workload gets",
			Expect: "Secret ci has all that the Coder CLI needs, and annotations that tell which token it holds. No value " +
				"is shown here: kubectl describe prints lengths.",
			Run: d.showSecret},
		{Title: "It works",
			Expect: "the server accepts a caller that has nothing but what the Secrets hold.",
			Run:    d.showRequests},
		{Title: "Forty writes cost one verification",
			Expect: "certificate, key, CA and header are rewritten one by one, with half pairs, cut off PEM and wrong " +
				"values in between; half way the server changes its own certificate, CA and header, so that neither the " +
				"old settings nor any of the states in between would do. The operator waits until the writes have " +
				"settled, then asks the server once. No session leaves Ready.",
			Run: d.showBurst},
		{Title: "A wrong certificate suspends whom it concerns",
			Expect: "coder-mtls gets a certificate of an authority that the server does not know. Session edge lives by " +
				"that certificate and is Suspended; ci has a token of its own, which is as good as before, and stays " +
				"Ready.",
			Run: d.showSuspension},
		{Title: "It recovers by itself",
			Expect: "a right certificate is written to the Secret, and nothing else is touched. edge becomes Ready again.",
			Run:    d.showRecovery},
		{Title: "A rotation without an interruption",
			Expect: "another lifetime is asked for session ci, so its token is replaced. At every moment the token in the " +
				"Secret is accepted; the old one goes on working for the overlap (here 8s) and is revoked then.",
			Run: d.showRotation},
		{Title: "Deleting a session revokes its token",
			Expect: "session ci is deleted: its Secret is gone, and the server does not accept the token any more.",
			Run:    d.showDeletion},
		{Title: "A person consents, once",
			Expect: "session ada shows the URL of Coder's consent page. User ada agrees there (the simulated server plays " +
				"her and her browser) and is sent to the operator, which fetches the grant, checks it and publishes its " +
				"token. The server gives a token of one minute this time.",
			Run: d.showConsent},
		{Title: "A grant is refreshed before it ends",
			Expect: "session ada is to renew 52s before the end, which is 8s after the token was given. Secret ada-coder " +
				"gets the next one, of a day; with OAuth the old one dies at that moment, there is no overlap.",
			Run: d.showRefresh},
		{Title: "What a person revokes, only a person gives back",
			Expect: "user ada revokes the grant on the server. The operator asks at every verify.interval (2s here) and " +
				"cannot refresh it: ReauthenticationRequired, with a fresh URL. She consents again, and the session is " +
				"Ready.",
			Run: d.showReauthentication},
		{Title: "Deleting the session gives all of it back",
			Expect: "session ada is deleted: the grant is revoked, and the client that was registered for it is deleted.",
			Run:    d.showGivingBack},
	}
}

// printInvitation prints what a person can do with the running programs.
func (d *demo) printInvitation() {
	d.term.Heading("Everything stays up until Ctrl-C. In another terminal:")
	for _, line := range []string{
		"export KUBECONFIG=" + d.cluster.Kubeconfig,
		"export PATH=$PATH:" + filepath.Join(d.root, "bin") + ":" + d.kubectl.Folder(),
		"kubectl get cdep,cses -A -o wide",
		"kubectl -n coder describe cses edge",
		"kubectl -n coder get events",
		"kubectl apply -f " + d.root + "/config/samples/codersession-mint.yaml",
		"tail -f " + d.operator.Log,
	} {
		d.term.Note("%s", line)
	}
	d.term.Note("")
	d.term.Note("cdep and cses are short for coderdeployments and codersessions; the logs are in %s", d.folder.Logs)
}
