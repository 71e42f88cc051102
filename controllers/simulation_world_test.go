package controllers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
)

// simWorld is all that a seed decides about: an API server, two Coder servers, one operator, people, faults. One thing
// happens at a time; the operator's own concurrency is that a pass can begin while another waits for an answer.
type simWorld struct {
	seed     uint64
	rng      *rand.Rand
	clock    *simClock
	api      *simAPI
	coders   []*simCoder
	operator *simOperator
	key      fingerprint.Key

	noise simNoise
	// calm says that nothing else is to happen: what is under way is judged strictly.
	calm bool
	// mended says that people touch nothing any more.
	mended bool
	// stalled caches are told of nothing until then.
	stalled time.Time
	// pair and own count the generations of the edge's headers and of the operator's tokens.
	pair, own int
	// script is what is going to happen at a time, whatever else does.
	script []scripted

	depth      int // passes under way
	byOperator bool
	underway   []string
	tokens     map[string]*minted     // by id
	known      map[string]string      // credentials, and what they are
	mints      map[string]int         // by the token's name
	verified   map[string][]time.Time // by deployment
	writes     []change               // by the operator, since it was last emptied
	warnings   []string
	rotations  int // writes of generated Secrets with a new serial

	count    simCount
	problems []string
	trace    []string
	verbose  bool
}

// simCount is what the summary line counts.
type simCount struct {
	steps, requests, verifications, mints, revocations, restarts, bursts, writes int
}

// simNoise are chances, in a thousand.
type simNoise struct{ drop, lose, limited, broken, api, crash int }

type scripted struct {
	at time.Time
	do func()
}

// simStart has no fraction of a second, as few times have.
var simStart = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func newSimWorld(seed uint64) *simWorld {
	w := &simWorld{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5e55)), clock: newSimClock(simStart), pair: 1, own: 1,
		tokens: map[string]*minted{}, known: map[string]string{}, mints: map[string]int{}, verified: map[string][]time.Time{},
	}
	w.clock.passes = w.pass
	var err error
	w.key, err = fingerprint.NewKey([]byte("0123456789abcdef0123456789abcdef"))
	w.must(nil, err)
	w.api = newSimAPI(w.clock.Now, w.rng)
	w.api.told = w.told
	w.coders = []*simCoder{newSimCoder(w), newSimCoder(w)}
	w.populate()
	w.startOperator()
	return w
}

func (w *simWorld) close() {
	w.operator.stop()
	for _, c := range w.coders {
		c.http.CloseClientConnections()
		c.http.Close()
	}
}

// fail notes what must not happen. The run ends soon after.
func (w *simWorld) fail(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf("%s: ", w.clock.Now().Sub(simStart))+fmt.Sprintf(format, args...))
	w.tracef("!! "+format, args...)
}

func (w *simWorld) must(_ any, err error) {
	if err != nil {
		panic(fmt.Sprintf("seed %d: %v", w.seed, err))
	}
}

func (w *simWorld) tracef(format string, args ...any) {
	if w.verbose {
		w.trace = append(w.trace, fmt.Sprintf("%12s ", w.clock.Now().Sub(simStart))+strings.Repeat("  ", max(0, w.depth))+fmt.Sprintf(format, args...))
	}
}

func (w *simWorld) jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(d)))
}

// strikes is true so many times in a thousand.
func (w *simWorld) strikes(chance int) bool {
	return chance > 0 && !w.calm && w.rng.IntN(1000) < chance
}

// know remembers a credential: its secret part must show nowhere.
func (w *simWorld) know(value, what string) {
	if _, secret, found := strings.Cut(value, "-"); found {
		w.known[secret] = what
	}
}

// told passes a write on to the caches, which learn of it later, and to those who watch over the operator.
func (w *simWorld) told(c change) {
	w.tracef("  written: %s %s by operator=%t, gone=%t", c.ref.kind, c.ref.key, w.byOperator, c.after == nil)
	if w.operator != nil {
		due := w.clock.Now()
		if !w.calm || w.rng.IntN(2) == 0 {
			due = due.Add(w.jitter(simLag))
		}
		w.operator.cache.pending[c.ref.kind] = append(w.operator.cache.pending[c.ref.kind], news{c, due})
	}
	if w.byOperator {
		w.writes = append(w.writes, c)
		w.judge(c)
	}
}

// simLag bounds how late caches are. It is shorter than the quiet period less the pauses within a burst.
const simLag = 200 * time.Millisecond

// deliverable lists the kinds of which there is news that has arrived.
func (w *simWorld) deliverable() []string {
	var found []string
	now := w.clock.Now()
	for _, kind := range kinds {
		if pending := w.operator.cache.pending[kind]; len(pending) > 0 && !pending[0].due.After(now) && !now.Before(w.stalled) {
			found = append(found, kind)
		}
	}
	return found
}

// act does one thing that can be done now; it reports false if there is none.
func (w *simWorld) act() bool {
	if w.depth == 0 && w.operator.dead {
		w.restart()
	}
	for len(w.script) > 0 && !w.script[0].at.After(w.clock.Now()) {
		next := w.script[0]
		w.script = w.script[1:]
		next.do()
	}
	type choice func()
	var choices []choice
	for _, kind := range w.deliverable() {
		choices = append(choices, func() {
			w.tracef("news of %s: %s", kind, w.operator.cache.pending[kind][0].ref.key)
			w.operator.cache.deliver(w.ctx(), kind)
		})
	}
	for _, l := range w.operator.lanes() {
		for _, key := range l.queue.runnable() {
			choices = append(choices, func() {
				w.depth++
				w.operator.work(l, key)
				w.depth--
			})
		}
	}
	if len(choices) == 0 {
		return false
	}
	w.count.steps++
	choices[w.rng.IntN(len(choices))]()
	if w.depth == 0 && !w.operator.dead {
		w.inspect()
	}
	return true
}

// run lets time go by.
func (w *simWorld) run(d time.Duration) {
	end := w.clock.Now().Add(d)
	for len(w.problems) == 0 {
		if w.act() {
			continue
		}
		next := w.next(end)
		if !next.Before(end) {
			w.moveTo(end)
			return
		}
		w.moveTo(next)
	}
}

// next is when something can be done again, at the latest the end.
func (w *simWorld) next(end time.Time) time.Time {
	now := w.clock.Now()
	sooner := func(t time.Time) {
		if t.After(now) && t.Before(end) {
			end = t
		}
	}
	for _, kind := range kinds {
		if pending := w.operator.cache.pending[kind]; len(pending) > 0 {
			sooner(pending[0].due)
		}
	}
	for _, l := range w.operator.lanes() {
		sooner(l.queue.next())
	}
	if len(w.script) > 0 {
		sooner(w.script[0].at)
	}
	sooner(w.stalled)
	sooner(w.clock.next())
	return end
}

func (w *simWorld) moveTo(t time.Time) {
	if t.After(w.clock.Now()) {
		w.clock.set(t)
	}
}

// pass lets time go by while somebody waits: what falls due meanwhile does so at its time. In calm no news is late.
func (w *simWorld) pass(d time.Duration) {
	end := w.clock.Now().Add(d)
	for w.clock.Now().Before(end) {
		next := end
		if t := w.clock.next(); !t.IsZero() && t.Before(next) {
			next = t
		}
		if w.calm {
			for _, kind := range kinds {
				if pending := w.operator.cache.pending[kind]; len(pending) > 0 && pending[0].due.Before(next) {
					next = pending[0].due
				}
			}
		}
		w.moveTo(next)
		if w.calm {
			for due := w.deliverable(); len(due) > 0; due = w.deliverable() {
				w.operator.cache.deliver(w.ctx(), due[0])
			}
		}
	}
}

// meanwhile is what happens while the operator waits for an answer. Passes over other keys may begin, unless locks are
// held for which they would wait.
func (w *simWorld) meanwhile(nests bool) {
	if w.operator.dead || w.rng.IntN(8) > 0 {
		return
	}
	if w.strikes(w.noise.crash) {
		w.tracef("the operator dies")
		w.operator.stop()
		return
	}
	switch w.rng.IntN(4) {
	case 0:
		w.pass(w.jitter(30 * time.Millisecond))
	case 1:
		if !w.calm {
			w.pass(w.jitter(2 * time.Second))
		}
	case 2:
		if !w.calm && !w.mended && w.rng.IntN(10) == 0 {
			w.nudge()
		}
	}
	if nests && w.depth < 3 {
		w.act()
		return
	}
	if due := w.deliverable(); len(due) > 0 {
		w.operator.cache.deliver(w.ctx(), due[w.rng.IntN(len(due))])
	}
}

func (w *simWorld) restart() {
	w.tracef("the operator starts")
	w.count.restarts++
	w.underway = nil
	w.operator.stop()
	w.startOperator()
}

// --- what there is in the beginning

func simPair(generation int) (id, key string) {
	return fmt.Sprintf("edge-id-%d", generation), fmt.Sprintf("edgekey-%dsentinelsentinelsent", generation)
}

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func (w *simWorld) populate() {
	for _, ns := range []string{"coder", "builds"} {
		w.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{"team": ns}}})
	}
	for generation := range 100 {
		_, value := simPair(generation)
		w.know(value, "header of the edge")
	}
	for _, name := range simSettings {
		w.write(name, w.valid(name))
	}
	for _, name := range []string{"prod", "gate"} {
		w.put(w.newDeployment(name))
	}
	for _, name := range simSessions {
		w.put(w.newSession(name))
	}
}

// put creates, or replaces whatever is there.
func (w *simWorld) put(object client.Object) {
	r := refOf(object)
	if live := w.api.objects[r]; live != nil {
		object.SetResourceVersion(live.GetResourceVersion())
		object.SetFinalizers(live.GetFinalizers())
		w.must(nil, w.api.update(object))
		return
	}
	w.must(nil, w.api.create(object))
}

func (w *simWorld) deployment(name string) *v1alpha1.CoderDeployment {
	d, _ := w.api.objects[ref{kindDeployment, key("coder", name)}].(*v1alpha1.CoderDeployment)
	return d
}

// sessions lists those that exist.
func (w *simWorld) sessions() (found []*v1alpha1.CoderSession) {
	for _, r := range sortedRefs(w.api.objects) {
		if s, ok := w.api.objects[r].(*v1alpha1.CoderSession); ok {
			found = append(found, s)
		}
	}
	return found
}

func (w *simWorld) secretOf(s *v1alpha1.CoderSession) *corev1.Secret {
	found, _ := w.api.objects[ref{kindSecret, key(s.Namespace, s.SecretName())}].(*corev1.Secret)
	return found
}

// serves is the server that a deployment's URL names.
func (w *simWorld) serves(d *v1alpha1.CoderDeployment) *simCoder {
	for _, c := range w.coders {
		if d != nil && d.Spec.URL == c.http.URL {
			return c
		}
	}
	return w.coders[0]
}

func (w *simWorld) newDeployment(name string) *v1alpha1.CoderDeployment {
	from := func(kind, name, field string) *v1alpha1.HeaderSource {
		if kind == kindSecret {
			return &v1alpha1.HeaderSource{SecretKeyRef: &v1alpha1.SecretKeyRef{Name: v1alpha1.ObjectName(name), Key: v1alpha1.DataKey(field)}}
		}
		return &v1alpha1.HeaderSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: v1alpha1.ObjectName(name), Key: v1alpha1.DataKey(field)}}
	}
	d := &v1alpha1.CoderDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: name}}
	d.Spec.URL = w.coders[0].http.URL
	d.Spec.Headers = []v1alpha1.Header{
		{Name: "X-Deployment", Value: &name},
		{Name: "X-Edge-Id", ValueFrom: from(kindConfigMap, "edge-id", "id")},
		{Name: "X-Edge-Key", ValueFrom: from(kindSecret, "edge-key", "key")},
	}
	d.Spec.RateLimit.RequestsPerMinute = 600
	if name == "gate" {
		d.Spec.URL = w.coders[1].http.URL
		user := simOperatorID
		d.Spec.Headers = append(d.Spec.Headers, v1alpha1.Header{Name: "X-Edge-User", Value: &user})
		return d
	}
	d.Spec.Token = &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: "own", Key: "token"}}
	d.Spec.Access = []v1alpha1.AccessRule{simAccess()}
	return d
}

func simAccess() v1alpha1.AccessRule {
	return v1alpha1.AccessRule{
		NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"team": "builds"}},
		Users:             []string{"bot-*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
	}
}

// simSessions by name; builds/out needs an access rule.
var simSessions = []string{"coder/ci", "coder/cd", "builds/out", "coder/mine", "coder/cert", "coder/gated"}

func (w *simWorld) newSession(full string) *v1alpha1.CoderSession {
	namespace, name, _ := strings.Cut(full, "/")
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.DeploymentRef = v1alpha1.DeploymentRef{Name: "prod", Namespace: "coder"}
	mint := func(user string, lifetime v1alpha1.Duration) {
		s.Spec.Auth.Mint = &v1alpha1.MintAuth{User: user, Lifetime: lifetime}
	}
	switch full {
	case "coder/ci":
		mint("bot-1", "24h")
	case "coder/cd":
		mint("bot-2", "2h")
	case "builds/out":
		mint("bot-1", "8h")
	case "coder/mine":
		s.Spec.Auth.Token = &v1alpha1.SuppliedTokenAuth{SecretRef: v1alpha1.TokenSecretRef{Name: "mine-token", Key: "token"}}
	case "coder/cert":
		s.Spec.DeploymentRef.Name = "gate"
		s.Spec.Auth.Certificate = &v1alpha1.CertificateAuth{}
	case "coder/gated":
		s.Spec.DeploymentRef.Name = "gate"
		mint("bot-2", "24h")
	}
	return s
}

// simSettings are the objects that deployments and sessions refer to, in the namespace coder.
var simSettings = []string{"edge-id", "edge-key", "own", "mine-token"}

// valid is the content that is right now.
func (w *simWorld) valid(name string) string {
	id, secret := simPair(w.pair)
	server := w.serves(w.deployment("prod"))
	return map[string]string{"edge-id": id, "edge-key": secret, "own": server.token, "mine-token": server.supply}[name]
}

// write writes a settings object; empty: it is deleted.
func (w *simWorld) write(name, value string) {
	w.count.writes++
	at := metav1.ObjectMeta{Namespace: "coder", Name: name, Annotations: map[string]string{"write": fmt.Sprint(w.count.writes)}}
	field := map[string]string{"edge-id": "id", "edge-key": "key", "own": "token", "mine-token": "token"}[name]
	var object client.Object = &corev1.Secret{ObjectMeta: at, Data: map[string][]byte{field: []byte(value)}}
	if name == "edge-id" {
		object = &corev1.ConfigMap{ObjectMeta: at, Data: map[string]string{field: value}}
	}
	if value == "" {
		_ = w.api.remove(refOf(object), nil)
		return
	}
	w.put(object)
}

// content is what a settings object holds; empty: there is none.
func (w *simWorld) content(name string) string {
	switch object := w.api.objects[ref{kindSecret, key("coder", name)}].(type) {
	case *corev1.Secret:
		for _, value := range object.Data {
			return string(value)
		}
	}
	if object, ok := w.api.objects[ref{kindConfigMap, key("coder", name)}].(*corev1.ConfigMap); ok {
		return object.Data["id"]
	}
	return ""
}

var errNoSuch = errors.New("no such object")

// edit changes an object, if it is there.
func edit[T client.Object](w *simWorld, r ref, change func(T)) error {
	live, ok := w.api.objects[r].(T)
	if !ok {
		return errNoSuch
	}
	next := copyOf(live).(T)
	change(next)
	return w.api.update(next)
}

// at adds to the script.
func (w *simWorld) at(d time.Duration, do func()) {
	w.script = append(w.script, scripted{w.clock.Now().Add(d), do})
	slices.SortStableFunc(w.script, func(a, b scripted) int { return a.at.Compare(b.at) })
}
