// SPDX-License-Identifier: Apache-2.0

// Package debounce turns bursts of events into single ones: it waits until a key has been quiet for a while, and no
// longer than a cap.
//
// It owns when, not what: the events of one burst are told to its owner by one call with their key. It does not keep two
// calls for one key from running at once (a work queue does), and it knows nothing about Kubernetes.
//
//	           Mark                     Mark (prolongs)
//	          .------.                   .---.
//	          |      v                   |   v
//	(no window)      [window: settling]------'
//	    ^  ^               |   |
//	    |  '----Forget-----'   | due: min(last+Quiet, first+MaxDelay)
//	    '------- fire ---------'
package debounce
