// SPDX-License-Identifier: Apache-2.0

package picture_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/picture"
)

func TestATerminalShowsTextInItsColours(t *testing.T) {
	t.Parallel()
	drawing, err := picture.Terminal("kubectl coder status",
		"prod  \x1b[31mSuspended\x1b[0m\n├─ <b>\n└─ \x1b[32m1 & 2\x1b[0m\n")
	if err != nil {
		t.Fatal(err)
	}
	decoder, texts := xml.NewDecoder(strings.NewReader(drawing)), map[string]string{}
	for class := ""; ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			class = ""
			for _, attribute := range token.Attr {
				if attribute.Name.Local == "class" {
					class = attribute.Value
				}
			}
		case xml.CharData:
			texts[string(token)] = class
		}
	}
	for text, class := range map[string]string{
		"$": "prompt", "kubectl coder status": "", "prod": "", "Suspended": "red", "<b>": "", "1 & 2": "green",
	} {
		if got, found := texts[text]; !found || got != class {
			t.Errorf("%q has the class %q (found: %t), want %q", text, got, found, class)
		}
	}
}

func TestATerminalRefusesOtherControlSequences(t *testing.T) {
	t.Parallel()
	if _, err := picture.Terminal("x", "\x1b[1mbold\x1b[0m"); err == nil || !strings.Contains(err.Error(), `"1"`) {
		t.Errorf("error is %v", err)
	}
}
