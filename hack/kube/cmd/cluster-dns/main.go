// SPDX-License-Identifier: Apache-2.0

// Cluster-dns is the DNS server for Services on the nodes of test/cluster:
// <service>.<namespace>.svc.<domain> is the Service's address, or the addresses of its ready
// endpoints if it is headless. It serves UDP only, and reads the objects that kube-proxy reads,
// with the same credentials. CoreDNS takes minutes to build.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	listen := flag.String("listen", "127.0.0.1:53", "UDP address to serve on")
	domain := flag.String("domain", "cluster.local", "the cluster's domain")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := runServer(ctx, *kubeconfig, *listen, *domain)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster-dns:", err)
		os.Exit(1)
	}
}

func runServer(ctx context.Context, kubeconfig, listen, domain string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(clients, 0)
	names := newDirectory(factory, domain)
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("could not list %s", kind)
		}
	}

	connection, err := net.ListenPacket("udp", listen)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = connection.Close() })
	fmt.Fprintln(os.Stderr, "cluster-dns: serving on", connection.LocalAddr())
	return answerQueries(connection, names)
}

// answerQueries answers one question after the other until the connection is closed. Everything
// that an answer needs is in memory.
func answerQueries(connection net.PacketConn, names *directory) error {
	question := make([]byte, 1500)
	for {
		size, from, err := connection.ReadFrom(question)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := names.answerQuery(question[:size])
		if err == nil {
			_, err = connection.WriteTo(answer, from)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "cluster-dns:", from, err)
		}
	}
}
