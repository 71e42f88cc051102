// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Line is one line of the output.
type Line struct {
	At time.Time `json:"at"`
	// Outcome is accepted, refused (401) or failed.
	Outcome string `json:"outcome"`
	// Status of the answer; 0: there was none.
	Status int `json:"status,omitempty"`
	// Token is the id of the token that was sent; empty: none.
	Token string `json:"token,omitempty"`
	// Certificate is the serial number of the one that was shown; empty: none.
	Certificate string `json:"certificate,omitempty"`
	Error       string `json:"error,omitempty"`
	// Accepted, Refused and Failed count all calls up to this one.
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"`
	Failed   int `json:"failed"`
}

func main() {
	every := flag.Duration("every", 200*time.Millisecond, "time between two calls")
	times := flag.Int("times", 0, "how many calls are made; 0: without end")
	path := flag.String("path", "/api/v2/deployment/ssh", "what is called")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := makeCalls(ctx, &caller{path: *path, out: json.NewEncoder(os.Stdout)}, *every, *times)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "caller:", err)
		os.Exit(1)
	}
}

// makeCalls makes that many calls. It returns an error if the last one was not accepted.
func makeCalls(ctx context.Context, c *caller, every time.Duration, times int) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for n := 1; ; n++ {
		if err := c.callOnce(ctx); err != nil {
			return err
		}
		if n == times && c.last.Outcome != accepted {
			return fmt.Errorf("the last call was %s", c.last.Outcome)
		}
		if n == times {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
