// SPDX-License-Identifier: Apache-2.0

package edge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// findNginx is the path of nginx. Without it there is nothing to test: where it is required that is
// a failure.
func findNginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} { // the PATH of users has no sbin
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "nginx is not found: apt-get install --no-install-recommends nginx"
	if os.Getenv("CI") == "true" || os.Getenv("NGINX_REQUIRED") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// Ports for nginx and for Coder servers that stop for a while. The kernel takes others for outgoing
// connections, one of which could have the port before they do.
const (
	firstPort = 20000
	ports     = 10000
)

// lastPort counts the ports that were chosen.
var lastPort atomic.Int32

// chooseAddress is an address of this machine that is free.
func chooseAddress(t *testing.T) string {
	t.Helper()
	for range ports {
		port := firstPort + (os.Getpid()*100+int(lastPort.Add(1)))%ports
		address := fmt.Sprintf("127.0.0.1:%d", port)
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no port is free")
	return ""
}

// aroundSites is the configuration around the sites that a test serves: no daemon, all files in one
// folder, and a socket of its own, at which nginx tells which configuration it has.
const aroundSites = `
%s
pid nginx.pid;
error_log error.log info;
worker_processes 1;
worker_shutdown_timeout 1s;
events { worker_connections 256; }
http {
    log_format facts '$connection $ssl_client_serial $status $request_method $uri';
    access_log access.log facts;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    default_type text/html;
    server {
        listen unix:%s/control.sock;
        access_log off;
        return 200 'generation %d';
    }
%s
}
`

// nginx is a running nginx in a folder of its own.
type nginx struct {
	t       *testing.T
	folder  string
	process *program.Process
	// generation counts the configurations.
	generation int
}

// startNginx starts nginx for sites. It ends with the test, whose failure shows its log.
func startNginx(t *testing.T, folder, sites string) *nginx {
	t.Helper()
	n := &nginx{t: t, folder: folder}
	n.writeConfig(sites)
	process, err := program.Start(program.Command{
		Path: findNginx(t), Args: []string{"-p", folder, "-e", "error.log", "-c", "nginx.conf", "-g", "daemon off;"},
		Log: filepath.Join(folder, "output.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	n.process = process
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("error log of nginx:\n%s\n%s", process.Output(), n.readLog("error.log"))
		}
	})
	n.awaitGeneration()
	return n
}

// reload changes the sites and returns when nginx serves nothing else: streams of before have ended.
func (n *nginx) reload(sites string) {
	n.t.Helper()
	n.writeConfig(sites)
	if err := syscall.Kill(n.process.PID(), syscall.SIGHUP); err != nil {
		n.t.Fatal(err)
	}
	n.awaitGeneration()
}

func (n *nginx) writeConfig(sites string) {
	n.t.Helper()
	n.generation++
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // of the workers, which need no other one here
	}
	n.writeFile("nginx.conf", fmt.Appendf(nil, aroundSites, user, n.folder, n.generation, sites))
}

// writeFile writes a file that the configuration names.
func (n *nginx) writeFile(name string, content []byte) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.folder, name), content, 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *nginx) awaitGeneration() {
	n.t.Helper()
	want := fmt.Sprintf("generation %d", n.generation)
	wait.ForTest(n.t, time.Minute, func(ctx context.Context) error {
		log := n.readLog("error.log")
		switch err := n.process.Running(); {
		case err != nil:
			return wait.Final(err)
		case strings.Contains(log, "[emerg]"):
			return wait.Final(errors.New("nginx refuses the configuration"))
		case strings.Count(log, "exited with code 0") < n.generation-1:
			return errors.New("a worker with an earlier configuration still runs")
		}
		got, err := n.fetchGeneration(ctx)
		if err == nil && got != want {
			err = fmt.Errorf("nginx has %s, want %s", got, want)
		}
		return err
	})
}

func (n *nginx) fetchGeneration(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://nginx", nil)
	if err != nil {
		return "", err
	}
	// A kept connection would go on with the old configuration.
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(
		ctx context.Context, _, _ string,
	) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(n.folder, "control.sock"))
	}}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// readLog is the content of a log of nginx.
func (n *nginx) readLog(name string) string {
	text, err := os.ReadFile(filepath.Join(n.folder, name))
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(text), "?") // it quotes TLS where http was expected
}

// served is a request that nginx has answered.
type served struct {
	connection string // number of the connection
	serial     string // of the client certificate, in hexadecimal digits; "-": none
	status     string
	request    string // method and path
}

// servedRequests are the requests that nginx has answered, in the order of their ends.
func (n *nginx) servedRequests() []served {
	var all []served
	for line := range strings.Lines(n.readLog("access.log")) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		all = append(all, served{fields[0], fields[1], fields[2], strings.Join(fields[3:], " ")})
	}
	return all
}
