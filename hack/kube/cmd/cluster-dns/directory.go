// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// timeToLive of an answer, in seconds: short, since tests make and delete Services all the time.
const timeToLive = 1

// directory knows the addresses of Services.
type directory struct {
	suffix   string // ".svc.cluster.local."
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

func newDirectory(factory informers.SharedInformerFactory, domain string) *directory {
	return &directory{
		suffix:   ".svc." + strings.ToLower(strings.Trim(domain, ".")) + ".",
		services: factory.Core().V1().Services().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
	}
}

// answerQuery returns the reply to a DNS message.
func (d *directory) answerQuery(message []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(message)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	addresses, known := d.lookupService(strings.ToLower(question.Name.String()))
	reply := dnsmessage.Header{
		ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired,
	}
	if !known {
		reply.RCode = dnsmessage.RCodeNameError
	}
	builder := dnsmessage.NewBuilder(nil, reply)
	builder.EnableCompression()
	if err := builder.StartQuestions(); err != nil {
		return nil, err
	}
	if err := builder.Question(question); err != nil {
		return nil, err
	}
	if err := builder.StartAnswers(); err != nil {
		return nil, err
	}
	for _, address := range addresses {
		if err := addAddress(&builder, question, address); err != nil {
			return nil, err
		}
	}
	return builder.Finish()
}

// addAddress adds an address of the family that was asked for.
func addAddress(builder *dnsmessage.Builder, question dnsmessage.Question, address netip.Addr) error {
	header := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: timeToLive}
	switch {
	case question.Type == dnsmessage.TypeA && address.Is4():
		return builder.AResource(header, dnsmessage.AResource{A: address.As4()})
	case question.Type == dnsmessage.TypeAAAA && address.Is6():
		return builder.AAAAResource(header, dnsmessage.AAAAResource{AAAA: address.As16()})
	}
	return nil
}

// lookupService returns the addresses of a fully qualified name in lower case, and whether a
// Service has that name.
func (d *directory) lookupService(name string) ([]netip.Addr, bool) {
	inside, found := strings.CutSuffix(name, d.suffix)
	service, namespace, isService := strings.Cut(inside, ".")
	if !found || !isService {
		return nil, false
	}
	object, err := d.services.Services(namespace).Get(service)
	if err != nil {
		return nil, false // A lister's only error: not found.
	}
	if object.Spec.ClusterIP == corev1.ClusterIPNone {
		return d.endpointAddresses(namespace, service), true
	}
	return parseAddresses(object.Spec.ClusterIPs), true
}

// endpointAddresses returns the addresses of a headless Service's ready endpoints.
func (d *directory) endpointAddresses(namespace, service string) []netip.Addr {
	slices, err := d.slices.EndpointSlices(namespace).List(labels.SelectorFromSet(labels.Set{
		discoveryv1.LabelServiceName: service,
	}))
	if err != nil {
		return nil
	}
	var addresses []netip.Addr
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				addresses = append(addresses, parseAddresses(endpoint.Addresses)...)
			}
		}
	}
	return addresses
}

// parseAddresses skips texts that are not addresses; the API server admits none.
func parseAddresses(texts []string) []netip.Addr {
	var addresses []netip.Addr
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil {
			addresses = append(addresses, address)
		}
	}
	return addresses
}
