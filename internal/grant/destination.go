// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
)

// Destination is the CoderDeployment that a registration was made for, and the server that its requests
// went to. What was obtained with the registration is sent nowhere else (B73). The ID that a server has
// for itself does not count: any server can repeat it. The zero value is that of documents of older
// operators, which have not recorded it.
type Destination struct {
	// Deployment and UID identify the CoderDeployment.
	Deployment types.NamespacedName
	UID        types.UID
	// Origin is scheme, host and port of its URL.
	Origin string
	// Route is a digest of its proxy and of what it accepts as the server's certificate.
	Route string
}

// DestinationOf returns where requests with the settings of a CoderDeployment go.
func DestinationOf(deployment types.NamespacedName, settings *authconfig.Snapshot) Destination {
	return Destination{
		Deployment: deployment, UID: settings.UID, Origin: settings.Origin(), Route: settings.Route(),
	}
}

// Permits reports whether what belongs to d may be sent to another destination. That is so if it is the
// same CoderDeployment, whose URL only those may change who may read the Secrets, or the same server in
// the same way, as after a restore into another cluster.
func (d Destination) Permits(other Destination) bool {
	return d == Destination{} || d.UID != "" && d.UID == other.UID || d.IsSameServer(other)
}

// IsSameServer reports whether requests to both destinations go to the same server in the same way. It is false if
// that is not known.
func (d Destination) IsSameServer(other Destination) bool {
	return d.Origin != "" && d.Origin == other.Origin && d.Route == other.Route
}

// updated returns what is recorded after a use at a permitted destination. The UID of a CoderDeployment
// with another name is not taken over: others may decide to which server that one leads next.
func (d Destination) updated(used Destination) Destination {
	if !d.Permits(used) || d.IsSameServer(used) && d.UID != used.UID && d.Deployment != used.Deployment {
		return d
	}
	return used
}

// String names the destination for people.
func (d Destination) String() string {
	return fmt.Sprintf("CoderDeployment %s at %s", d.Deployment, d.Origin)
}

// UsedAt records that the registration is used at a destination that it permits.
func (c *Client) UsedAt(used Destination) { c.Destination = c.Destination.updated(used) }

// dropWithoutDestination removes everything whose destination is not known. It is for a document that
// the session does not own yet: it may be that of a former session of this name with another deployment.
func (s *State) dropWithoutDestination() {
	if s.Client == nil || s.Client.Destination != (Destination{}) {
		return
	}
	if s.Grant != nil {
		s.End("Restored", "its Secret was restored without its owner, and does not say which CoderDeployment it is for",
			s.Grant.IssuedAt)
	}
	s.Client, s.Attempt, s.Intent = nil, nil, nil
}
