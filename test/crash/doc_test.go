// SPDX-License-Identifier: Apache-2.0

// Package crash_test cuts the operator off after each of its outside calls
// in turn, and holds what a fresh operator makes of the rest to the behaviours
// B40 to B45.
//
// An outside call is a request to the API server about a single object (lists,
// watches and events do not count: nothing follows from them that the next start
// would not find) or a request to the Coder server. A scenario is run undisturbed
// first, which gives its list of calls (without the repetitions of reads, and
// without what is asked once an interval anyway, unless the scenario is about that);
// then once for each call of the list and each fate of it:
//
//	lost before   the call never arrives, and none after it
//	lost after    the server does it, the answer is lost, no call after it arrives
//	lost answer   the server does it and the answer is lost; the process lives on (B41)
//	held before   the call arrives when another operator has done everything
//	held after    its answer arrives then
//
// After the first two a fresh operator starts with empty memory. The last two are
// a leader that is late to notice that it is not one any more: both operators run
// from then on.
//
// By default a share of the cases "lost before" runs, the same every time: a process that dies before a
// call leaves the same behind as one that died after the last write before it. CRASH_POINTS=all runs
// all of them. Each action of internal/session and internal/deployment has to occur in a scenario; the
// operator's log says which ones it carries out.
//
// Everything is real but the Coder server: controllers, API server, TLS. The
// operator reaches the simulated server through a proxy that ends TLS, tells the
// operators apart by their User-Agent, and is where calls get lost; what goes to
// the API server gets lost in the operator's transport.
//
// Not owned here: what the operator does while nothing is lost (test/operator).
package crash_test
