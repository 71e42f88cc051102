// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// options are the manager's flags.
type options struct {
	kubeconfig     string
	metricsAddress string
	metricsSecure  bool
	metricsCertDir string
	probeAddress   string
	// pprofAddress is where profiles are served; empty: nowhere.
	pprofAddress    string
	leaderElect     bool
	leaderNamespace string
	watchNamespaces []string
	selector        labels.Selector
	webhook         webhookOptions
	// admissionPolicies is what the names of the admission policies begin with; empty: there are none.
	admissionPolicies string
	callbackAddress   string
	callbackURL       string
	revocationTimeout time.Duration
	orphanGrace       time.Duration
	clusterID         string
	// Addresses that are not connected to, and exceptions from these.
	deniedAddresses, allowedAddresses []netip.Prefix
	concurrent                        int
	qps                               float64
	burst                             int
	showVersion                       bool
	zap                               zap.Options
}

// parseOptions parses and validates the command line. Its errors name the flag and say what to
// write instead.
func parseOptions(args []string) (*options, error) {
	o := &options{}
	var namespaces, selector string
	set := flag.NewFlagSet("coder-session-operator", flag.ContinueOnError)
	config.RegisterFlags(set)
	o.registerEndpointFlags(set)
	set.BoolVar(&o.leaderElect, "leader-elect", true, "work only while holding the lease, and release it on exit")
	set.StringVar(&o.leaderNamespace, "leader-election-namespace", "",
		"namespace of the lease and of the operator's own Secret; default: the pod's own, else that of the "+
			"kubeconfig's context")
	set.StringVar(&namespaces, "watch-namespaces", "", "comma-separated namespaces to watch; default: all. Needs "+
		"Roles in these only, and --cluster-id where kube-system may not be read")
	set.StringVar(&selector, "watch-label-selector", "", "label selector of the CoderDeployments and CoderSessions "+
		"to work on; default: all. Each selector has a lease of its own")
	registerPolicyFlag(set, &o.admissionPolicies)
	o.webhook.registerFlags(set)
	set.StringVar(&o.callbackAddress, "oauth-callback-bind-address", "",
		"address of the OAuth callback, served by every replica; default: none, and no session can have a grant")
	set.StringVar(&o.callbackURL, "oauth-callback-url", "", "URL under which browsers reach the OAuth callback; "+
		"default: none, and people use kubectl coder login --port-forward")
	set.DurationVar(&o.revocationTimeout, "revocation-timeout", 10*time.Minute,
		"how long a deleted session waits for a server that cannot be reached before its tokens are given up with a "+
			"warning")
	set.DurationVar(&o.orphanGrace, "orphan-grace", 10*time.Minute,
		"how old a token of this cluster that no session claims must be before it is revoked")
	o.registerAddressFlags(set)
	set.StringVar(&o.clusterID, "cluster-id", "", "8 characters (a-z, 0-9) in the names of minted tokens that tell "+
		"this operator's from others'; default: derived from the kube-system namespace and what is watched")
	set.IntVar(&o.concurrent, "max-concurrent-reconciles", 10,
		"how many deployments of a namespace, and how many of its sessions of one deployment, are worked on at a time")
	set.Float64Var(&o.qps, "kube-api-qps", 200,
		"requests per second to the API server; negative: no limit on this side")
	set.IntVar(&o.burst, "kube-api-burst", 400, "burst of requests to the API server")
	set.BoolVar(&o.showVersion, "version", false, "print the version and exit")
	o.zap.BindFlags(set)
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: all options are flags", set.Arg(0))
	}
	o.kubeconfig = set.Lookup(config.KubeconfigFlagName).Value.String()
	var err error
	if o.selector, err = labels.Parse(selector); err != nil {
		return nil, fmt.Errorf("--watch-label-selector: write a selector such as shard=a: %w", err)
	}
	for _, name := range strings.Split(namespaces, ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.watchNamespaces = append(o.watchNamespaces, name)
		}
	}
	o.watchNamespaces = slices.Compact(slices.Sorted(slices.Values(o.watchNamespaces)))
	if err := o.validate(); err != nil {
		return nil, err
	}
	return o, nil
}

// completePprofAddress makes an address without a host one of the loopback interface.
func (o *options) completePprofAddress() error {
	if o.pprofAddress == "" || o.pprofAddress == "0" {
		o.pprofAddress = ""
		return nil
	}
	host, port, err := net.SplitHostPort(o.pprofAddress)
	if err == nil && host == "" {
		o.pprofAddress = net.JoinHostPort("127.0.0.1", port)
	}
	return err
}

var clusterIDForm = regexp.MustCompile(`^[a-z0-9]{8}$`)

// validate returns all errors at once, so that they can be fixed in one go.
func (o *options) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, name := range o.watchNamespaces {
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			fault("--watch-namespaces: %q is no namespace name: %s", name, problems[0])
		}
	}
	if o.clusterID != "" && !clusterIDForm.MatchString(o.clusterID) {
		fault("--cluster-id: write 8 characters of a-z and 0-9, such as prod0001")
	}
	if o.concurrent < 1 {
		fault("--max-concurrent-reconciles: write at least 1")
	}
	if o.revocationTimeout < 0 || o.orphanGrace < 0 {
		fault("--revocation-timeout and --orphan-grace: write durations that are not negative")
	}
	if err := o.completePprofAddress(); err != nil {
		fault("--pprof-bind-address: write an address with a port, such as 127.0.0.1:6060")
	}
	if o.metricsCertDir != "" && !o.metricsSecure {
		fault("--metrics-cert-dir: write --metrics-secure too, or remove it: without HTTPS there is no certificate")
	}
	o.webhook.checkFlags(fault)
	if problem := o.callbackProblem(); problem != "" {
		fault("--oauth-callback-url: %s", problem)
	}
	return errors.Join(faults...)
}

// callbackProblem says what is wrong with the OAuth callback's URL. Contract C.4 has the redirect
// URIs that Coder accepts for a confidential client.
func (o *options) callbackProblem() string {
	if o.callbackURL == "" {
		return ""
	}
	if o.callbackAddress == "" {
		return "write --oauth-callback-bind-address, too: the address at which the callback is served"
	}
	u, err := url.Parse(o.callbackURL)
	if err != nil || u.Host == "" || (url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}) != *u {
		return "write a URL such as https://coder-callback.example.com/oauth/callback, without user, query and fragment"
	}
	if u.Path == "" || u.Path == "/" {
		return "write a URL with a path, such as /oauth/callback"
	}
	if local := u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost"); u.Scheme == "https" ||
		u.Scheme == "http" && local {
		return ""
	}
	return "write an https URL: Coder sends codes over plain http to localhost only"
}

// registerEndpointFlags registers the flags of what is served for those who run the operator.
func (o *options) registerEndpointFlags(set *flag.FlagSet) {
	set.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443",
		"address of the metrics endpoint; 0 switches it off")
	set.BoolVar(&o.metricsSecure, "metrics-secure", true,
		"serve metrics over HTTPS to callers that the API server authenticates and authorizes")
	set.StringVar(&o.metricsCertDir, "metrics-cert-dir", "", "folder with the tls.crt and tls.key of the metrics "+
		"endpoint, which an external tool such as cert-manager renews; default: a self-signed certificate, another one "+
		"at each start")
	set.StringVar(&o.pprofAddress, "pprof-bind-address", "", "address of Go's profiles (/debug/pprof/), without any "+
		"authentication: of the loopback interface, unless the address names another; default: none are served")
	set.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081",
		"address of /healthz and /readyz; 0 switches them off")
}

func (o *options) registerAddressFlags(set *flag.FlagSet) {
	set.Func("denied-addresses", "comma-separated addresses and CIDRs that the operator does not connect to for a "+
		"CoderDeployment, after names are resolved, besides link-local and metadata addresses; default: none",
		parseAddresses(&o.deniedAddresses))
	set.Func("allowed-addresses", "comma-separated addresses and CIDRs that the operator connects to although they are "+
		"denied; default: none", parseAddresses(&o.allowedAddresses))
}

// parseAddresses returns what parses a flag with a list of addresses and CIDRs. Of a flag that is there
// twice the last one counts.
func parseAddresses(into *[]netip.Prefix) func(string) error {
	return func(list string) error {
		*into = nil
		for _, text := range strings.Split(list, ",") {
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			prefix, err := netip.ParsePrefix(text)
			if address, addressErr := netip.ParseAddr(text); addressErr == nil {
				prefix, err = address.Prefix(address.BitLen())
			}
			if err != nil {
				return fmt.Errorf("%q is neither an address nor a CIDR: write one such as 10.0.0.0/8", text)
			}
			*into = append(*into, prefix.Masked())
		}
		return nil
	}
}
