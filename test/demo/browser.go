// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"

	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

var heading = regexp.MustCompile(`<h1>([^<]*)</h1>`)

// openPage opens a page as a browser does, and returns its status and the text of its heading. The
// address has a code in it, so errors do not quote it.
func openPage(ctx context.Context, address string) (status int, title string, err error) {
	ctx, cancel := context.WithTimeout(ctx, walk.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", errors.New("the address to open is none")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("open a page of %s: %w", request.URL.Host, causeOf(err))
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, "", fmt.Errorf("read a page of %s: %w", request.URL.Host, err)
	}
	if found := heading.FindSubmatch(page); found != nil {
		title = html.UnescapeString(string(found[1]))
	}
	return response.StatusCode, title, nil
}

// causeOf is the error without the address that it quotes.
func causeOf(err error) error {
	var quoting *url.Error
	if errors.As(err, &quoting) {
		return quoting.Err
	}
	return err
}
