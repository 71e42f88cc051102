// SPDX-License-Identifier: Apache-2.0

// Package debounce merges bursts of events: it waits until a key has been quiet for a while, up to
// a maximum delay.
//
// One call reports all events of a burst, with their key. The package does not prevent concurrent
// calls for one key (a work queue does), and does not depend on Kubernetes.
//
//	           Mark                     Mark (extends)
//	          .------.                   .---.
//	          |      v                   |   v
//	(no window)      [window: settling]------'
//	    ^  ^               |   |
//	    |  '----Forget-----'   | due: min(last+Quiet, first+MaxDelay)
//	    '------- fire ---------'
package debounce
