// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

func (w *e2eRun) killLeader(ctx context.Context) error {
	old, err := w.publishedTokenID(ctx, "ci")
	if err != nil {
		return err
	}
	leader, err := w.findLeader(ctx)
	if err != nil {
		return err
	}
	release, waiting, err := w.coder.gateRequests(ctx, http.MethodPost, "/api/v2/users/*/keys/tokens")
	if err != nil {
		return err
	}
	defer func() { _ = release(ctx) }()
	if err := w.askForLifetime(ctx, "ci", "18h"); err != nil {
		return err
	}
	if _, err := walk.Await(ctx, "the mint is under way", waiting); err != nil {
		return err
	}
	started := time.Now()
	if err := w.killOperator(ctx, leader.pod); err != nil {
		return err
	}
	if err := release(ctx); err != nil {
		return err
	}
	if _, err := walk.Await(ctx, "another process leads", w.leadsOther(leader)); err != nil {
		return err
	}
	next, err := w.awaitReplacement(ctx, "ci", old)
	if err != nil {
		return err
	}
	w.recordFigure("after the leader was killed in a rotation the next token was published within %s",
		walk.Brief(time.Since(started)))
	return w.oneTokenAfter(ctx, next)
}

// killOperator kills the operator's process in a pod, so that it cannot clean up.
func (w *e2eRun) killOperator(ctx context.Context, pod string) error {
	if !w.own {
		return w.kubectl.Show(ctx, "-n", operatorNamespace, "delete", "pod", pod, "--grace-period=0", "--force")
	}
	uid, err := w.kubectl.Run(ctx, "-n", operatorNamespace, "get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		return err
	}
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return err
	}
	for _, path := range groups {
		group, err := os.ReadFile(path)
		program, exeErr := os.Readlink(filepath.Join(filepath.Dir(path), "exe"))
		if err != nil || exeErr != nil || !strings.Contains(string(group), uid) || filepath.Base(program) != release {
			continue // the process has ended meanwhile
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return err
		}
		w.term.Note("SIGKILL for the operator in pod %s", pod)
		return syscall.Kill(pid, syscall.SIGKILL)
	}
	return &walk.UnexpectedError{Expected: "a process of the operator's in pod " + pod, Seen: "none"}
}

// oneTokenAfter waits until the pods use a token and it is the only one that is left.
func (w *e2eRun) oneTokenAfter(ctx context.Context, next string) error {
	for _, pod := range callers {
		if _, err := walk.Await(ctx, "pod "+pod+" uses token "+next, w.usesToken(pod, next)); err != nil {
			return err
		}
	}
	if _, err := walk.AwaitFor(ctx, 2*walk.Patience, "exactly one token of session ci is alive",
		w.oneToken("ci")); err != nil {
		return err
	}
	if err := w.rolledOut(ctx); err != nil {
		return err
	}
	w.term.Seen("one token is alive, both replicas are ready")
	return w.allAccepted(ctx, callers...)
}

func (w *e2eRun) partitionLeader(ctx context.Context) error {
	if !w.own {
		w.term.Note("not on a cluster that others own: it takes a packet filter on the node")
		return nil
	}
	old, err := w.publishedTokenID(ctx, "ci")
	if err != nil {
		return err
	}
	leader, err := w.findLeader(ctx)
	if err != nil {
		return err
	}
	heal, err := w.cutOff(ctx, leader.pod)
	if err != nil {
		return err
	}
	defer func() { _ = heal(ctx) }()
	started := time.Now()
	if _, err := walk.Await(ctx, "another replica leads", w.leadsOther(leader)); err != nil {
		return err
	}
	w.recordFigure("a leader that is cut off is replaced after %s", walk.Brief(time.Since(started)))
	if err := w.askForLifetime(ctx, "ci", "16h"); err != nil {
		return err
	}
	next, err := w.awaitReplacement(ctx, "ci", old)
	if err != nil {
		return err
	}
	w.term.Seen("the other replica rotates: token %s", next)
	if err := heal(ctx); err != nil {
		return err
	}
	return w.oneTokenAfter(ctx, next)
}

// cutOff drops all packets from a pod of the operator's to the API server, until heal is called.
func (w *e2eRun) cutOff(ctx context.Context, pod string) (heal func(context.Context) error, err error) {
	address, err := w.kubectl.Run(ctx, "-n", operatorNamespace, "get", "pod", pod, "-o", "jsonpath={.status.podIP}")
	if err != nil {
		return nil, err
	}
	service, err := w.kubectl.Run(ctx, "-n", "default", "get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return nil, err
	}
	server, port, _ := strings.Cut(strings.TrimPrefix(w.cluster.Server, "https://"), ":")
	filter := func(ctx context.Context, action string) error {
		var errs []error
		for _, target := range [][]string{{service, "443"}, {server, port}} {
			args := []string{
				"--table", "raw", action, "PREROUTING", "--source", address, "--destination", target[0], "--protocol", "tcp",
				"--dport", target[1], "--jump", "DROP",
			}
			if output, err := exec.CommandContext(ctx, "iptables", args...).CombinedOutput(); err != nil {
				errs = append(errs, fmt.Errorf("iptables %s: %w: %s", strings.Join(args, " "), err, output))
			}
		}
		return errors.Join(errs...)
	}
	healed := false
	heal = func(ctx context.Context) error {
		if healed {
			return nil
		}
		healed = true
		return filter(ctx, "--delete")
	}
	w.term.Note("packets from pod %s (%s) to the API server are dropped", pod, address)
	return heal, filter(ctx, "--append")
}
