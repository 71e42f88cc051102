// SPDX-License-Identifier: Apache-2.0

package tokenformat

import "strings"

// sessionCookie is the cookie in which browsers send a token. There may be a prefix to its name.
const sessionCookie = "coder_session_token"

// HasSessionCookie reports whether a Cookie header has a token in it. The server looks at that cookie
// before it looks at anything else that is sent (contract A.3). It looks at other cookies not at all.
func HasSessionCookie(header string) bool {
	for cookie := range strings.SplitSeq(header, ";") {
		name, _, _ := strings.Cut(cookie, "=")
		if strings.Contains(strings.ToLower(name), sessionCookie) {
			return true
		}
	}
	return false
}
