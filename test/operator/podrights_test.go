// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// newGuestPodsEnv is like newPodsEnv, and the deployment is in another namespace, home, whose access rules
// allow the machine user only.
func newGuestPodsEnv(t *testing.T) (w, home *operatorEnv) {
	t.Helper()
	w = newEnv(t)
	w.servesPods = true
	w.serveWebhook(webhookSettings{podNames: rand.Reader})
	home = w.inNamespace(w.Cluster.Namespace(t, nil))
	home.writeReferences()
	w.startOperator(home.Namespace)
	home.Create(home.newDeployment("prod", withAccess(machineOnly())))
	s := home.newGuestSession(w.Namespace, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: testenv.MachineUser}})
	s.Spec.PerPod = &v1alpha1.PerPod{MaxPods: 10}
	w.Create(s)
	w.Eventually(w.SessionIs("ci", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServingPods, "each pod"))
	return w, home
}

func machineOnly() v1alpha1.AccessRule {
	return v1alpha1.AccessRule{
		Name: "machines", Users: []string{testenv.MachineUser}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
	}
}

// allOwn checks each session of a pod.
func (w *operatorEnv) allOwn(want int, check func(*v1alpha1.CoderSession) error) func(context.Context) error {
	return func(ctx context.Context) error {
		var list v1alpha1.CoderSessionList
		if err := w.Client.List(ctx, &list, client.InNamespace(w.Namespace)); err != nil {
			return err
		}
		own := 0
		for i := range list.Items {
			if !podsession.IsOfPod(&list.Items[i]) {
				continue
			}
			own++
			if err := check(&list.Items[i]); err != nil {
				return err
			}
		}
		if own != want {
			return fmt.Errorf("%d sessions of pods, want %d", own, want)
		}
		return nil
	}
}

// B153: access that is withdrawn in the CoderDeployment takes the tokens of all pods, and gives none to new
// ones. When it is back, all that still run have tokens again.
func TestAccessRulesOfPods(t *testing.T) {
	w, home := newGuestPodsEnv(t)
	pods := w.createPods(3)
	w.Eventually(w.servesSoMany(pods, 3), w.hasLiveTokens(3))
	home.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access[0].Users = []string{"others"} })
	denied := func(s *v1alpha1.CoderSession) error {
		return testenv.CheckReady(s, metav1.ConditionFalse, v1alpha1.ReasonAccessDenied)
	}
	w.Eventually(w.hasLiveTokens(0), w.IsNotReady("ci", v1alpha1.ReasonAccessDenied, ""), w.allOwn(3, denied))
	var secrets corev1.SecretList
	w.Must(w.Client.List(t.Context(), &secrets, client.InNamespace(w.Namespace), client.HasLabels{v1alpha1.LabelSession}))
	if len(secrets.Items) > 0 {
		t.Errorf("%d Secrets are left", len(secrets.Items))
	}
	late := w.createPod()
	mints := w.CountMints()
	w.Eventually(w.allOwn(4, denied), w.hasLiveTokens(0))
	if got := w.CountMints() - mints; got > 0 {
		t.Errorf("%d tokens were minted", got)
	}
	w.endPod(pods[0], corev1.PodSucceeded)
	home.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = []v1alpha1.AccessRule{machineOnly()} })
	w.Eventually(w.servesSoMany([]*corev1.Pod{pods[1], pods[2], late}, 3), w.hasLiveTokens(3))
}

// B155: the session of a pod that others take away from it is deleted, and the pod gets another one. What
// else they write into it does not keep it from ending with its pod.
func TestSessionsOfPodsThatOthersChange(t *testing.T) {
	w := newPodsEnv(t, 1)
	pod := w.createPod()
	w.Eventually(w.isServed(pod), w.hasLiveTokens(1))
	replaced := func(was *v1alpha1.CoderSession) wait.Check {
		return func(ctx context.Context) error {
			is, err := w.GetSession(ctx, was.Name)
			if err == nil && is.UID == was.UID {
				err = errors.New("the session is still there")
			}
			return err
		}
	}
	for name, change := range map[string]func(*v1alpha1.CoderSession){
		"no owner":       func(s *v1alpha1.CoderSession) { s.OwnerReferences = nil },
		"another owner":  func(s *v1alpha1.CoderSession) { s.OwnerReferences[0].UID = "other" },
		"another parent": func(s *v1alpha1.CoderSession) { s.Labels[v1alpha1.LabelParent] = "other" },
	} {
		own := w.ownSession(pod)
		w.EditSession(own.Name, change)
		w.T.Log(name)
		w.Eventually(replaced(own), w.isServed(pod), w.hasLiveTokens(1))
	}
	w.EditSession(w.ownSession(pod).Name, func(s *v1alpha1.CoderSession) {
		s.OwnerReferences = append(s.OwnerReferences,
			metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "other", UID: "other"})
	})
	w.endPod(pod, corev1.PodSucceeded)
	w.Eventually(w.hasLiveTokens(0), w.allOwn(0, func(*v1alpha1.CoderSession) error { return nil }))
}

// B90, B153: a person who may create pods and sessions, and not read Secrets, learns no token from what is
// written about pods, and gets nothing for a session that is made to look like that of a pod.
func TestAPersonWithoutRightsOnSecrets(t *testing.T) {
	w, _ := newGuestPodsEnv(t)
	person, err := w.Cluster.User(w.Namespace)
	w.Must(err)
	all := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	(&site{operatorEnv: w}).grantRules(person.Name, w.Namespace, []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"codersessions"}, Verbs: all},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: all},
	})
	theirs, err := client.New(person.Config, client.Options{Scheme: w.Cluster.Scheme})
	w.Must(err)
	pod := w.newPod("ci")
	w.Must(theirs.Create(t.Context(), pod))
	w.Eventually(w.isServed(pod))
	name := pod.Annotations[v1alpha1.AnnotationPodSession]
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: w.Namespace, Name: name}
	if err := theirs.Get(t.Context(), key, secret); !apierrors.IsForbidden(err) {
		t.Fatalf("the person reads the Secret: %v", err)
	}

	forged := w.ownSession(pod).DeepCopy()
	forged.ObjectMeta = metav1.ObjectMeta{
		Namespace: w.Namespace, Name: "forged", Labels: map[string]string{v1alpha1.LabelParent: "ci"},
		OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: ptr.To(true)},
		},
	}
	forged.Spec.Auth.Mint.User = testenv.PersonUser
	w.Must(theirs.Create(t.Context(), forged))
	unknown := w.newPod("ci", func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationSession] = "other" })
	if err := theirs.Create(t.Context(), unknown); err == nil {
		t.Error("a pod of a session that does not exist is taken")
	}
	// The pod has one session already.
	w.Eventually(w.isServed(pod), w.hasLiveTokens(1), func(ctx context.Context) error {
		if _, err := w.GetSession(ctx, "forged"); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("the forged session exists"), err)
		}
		return nil
	})
	for _, live := range w.mintedTokens() {
		user, err := w.Coder.User(testenv.MachineUser)
		w.Must(err)
		if live.UserID != user.ID {
			t.Errorf("token %s is that of another user", live.Name)
		}
	}
	w.sentinels = append(w.sentinels, string(w.CurrentSecret(name).Data["session"]))
	w.searchForSentinels()
	w.deletePod(pod)
	w.Eventually(w.hasLiveTokens(0), w.allOwn(0, func(*v1alpha1.CoderSession) error { return nil }))
}
