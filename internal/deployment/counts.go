// SPDX-License-Identifier: Apache-2.0

package deployment

import "time"

// countsInterval is the shortest time between two writes of status that change nothing but the counters of
// sessions. While thousands of sessions are created, each of these writes would be one request more.
const countsInterval = 5 * time.Second

// postponeCounts keeps the counters in status as they are if they were written within countsInterval, and looks
// again at its end (B161). Everything else that a plan says of the sessions is as prompt as without it.
func postponeCounts(o Observation, p Plan) Plan {
	written, due := o.Deployment.Status.Sessions, o.CountsTime.Add(countsInterval)
	if written == nil || *written == o.Sessions.Counts || !o.Now.Before(due) {
		return p
	}
	p.KeepCounts = true
	p.requeueBy(due)
	return p
}
