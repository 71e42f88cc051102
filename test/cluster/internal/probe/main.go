// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := runCommand(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func runCommand(arguments []string) error {
	switch {
	case len(arguments) == 3 && arguments[0] == "serve":
		return serveFile(arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "get":
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return printAnswer(ctx, arguments[1])
	}
	return errors.New("usage: probe serve <address> <file> | probe get <url>")
}

func serveFile(address, file string) error {
	fmt.Println("serving", file)
	server := http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	return server.ListenAndServe()
}

func printAnswer(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
