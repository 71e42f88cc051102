// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// What completion kubectl prints is the file that archives have.
func TestTheShimOfKubectlIsPrinted(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("../../cmd/kubectl-coder/kubectl_complete-coder")
	if err != nil {
		t.Fatal(err)
	}
	var out, problems bytes.Buffer
	code := cli.Execute(t.Context(), cli.Environment{Out: &out, Err: &problems, Clock: newClock()},
		[]string{"completion", "kubectl"})
	if code != cli.ExitOK || out.String() != string(want) {
		t.Errorf("exit code %d, got:\n%s\n%s\nwant:\n%s", code, &out, &problems, want)
	}
	out.Reset()
	if code := cli.Execute(t.Context(), cli.Environment{Out: &out, Err: &problems, Clock: newClock()},
		[]string{"completion", "bash"}); code != cli.ExitOK || !bytes.Contains(out.Bytes(), []byte("__start_kubectl-coder")) {
		t.Errorf("completion bash ends with %d", code)
	}
}
