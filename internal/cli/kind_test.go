// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// pages is an API server that returns one session per page.
type pages struct {
	client.Reader // Get is not used
	count         int
	asked         []client.ListOptions
	// expires is the page at which the continue token expires, once.
	expires int
}

func (p *pages) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	var asked client.ListOptions
	asked.ApplyOptions(options)
	p.asked = append(p.asked, client.ListOptions{Namespace: asked.Namespace, Limit: asked.Limit,
		Continue: asked.Continue})
	number, _ := strconv.Atoi(asked.Continue)
	if p.expires > 0 && number == p.expires {
		p.expires = 0
		return apierrors.NewResourceExpired("too old")
	}
	list, size := into.(*v1alpha1.CoderSessionList), 1
	if asked.Limit == 0 {
		size = p.count
	}
	for i := range size {
		s := v1alpha1.CoderSession{}
		s.Name = strconv.Itoa(number + i)
		list.Items = append(list.Items, s)
	}
	list.ResourceVersion = "7"
	if next := number + size; next < p.count {
		list.Continue = strconv.Itoa(next)
	}
	return nil
}

func TestAListIsReadInPages(t *testing.T) {
	t.Parallel()
	const size = 500
	for name, test := range map[string]struct {
		count, expires int
		asked          []client.ListOptions
	}{
		"one": {count: 1, asked: []client.ListOptions{{Namespace: "builds", Limit: size}}},
		"three": {count: 3, asked: []client.ListOptions{
			{Namespace: "builds", Limit: size}, {Namespace: "builds", Limit: size, Continue: "1"},
			{Namespace: "builds", Limit: size, Continue: "2"},
		}},
		// The remaining pages would be of a different list, so everything is listed again.
		"three, expired": {count: 3, expires: 2, asked: []client.ListOptions{
			{Namespace: "builds", Limit: size}, {Namespace: "builds", Limit: size, Continue: "1"},
			{Namespace: "builds", Limit: size, Continue: "2"}, {Namespace: "builds"},
		}},
	} {
		p := &pages{count: test.count, expires: test.expires}
		found, version, err := sessionKind.listAll(t.Context(), p, selectNamespace("builds"))
		if err != nil || version != "7" {
			t.Errorf("%s: version %q, %v", name, version, err)
		}
		var names, want []string
		for i := range test.count {
			want = append(want, strconv.Itoa(i))
		}
		for _, s := range found {
			names = append(names, s.Name)
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(test.asked, p.asked); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", name, diff)
		}
	}
}
