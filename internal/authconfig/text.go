// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// Byte order marks (RFC 3629, section 6; RFC 2781, section 3.2). Windows programs write them, and
// editors do not show them.
var (
	utf8Mark    = []byte{0xEF, 0xBB, 0xBF}
	utf16LEMark = []byte{0xFF, 0xFE}
	utf16BEMark = []byte{0xFE, 0xFF}
)

// decodeText returns a text in UTF-8 without a byte order mark. UTF-16 is decoded if it begins with
// one.
func decodeText(raw []byte) (string, problem) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(raw, utf8Mark):
		return string(raw[len(utf8Mark):]), problem{}
	case bytes.HasPrefix(raw, utf16LEMark):
		order = binary.LittleEndian
	case bytes.HasPrefix(raw, utf16BEMark):
		order = binary.BigEndian
	default:
		return string(raw), problem{}
	}
	if len(raw)%2 != 0 {
		return "", problem{text: "is UTF-16 that ends within a character: write it again, in UTF-8"}
	}
	units := make([]uint16, 0, len(raw)/2)
	for i := 2; i < len(raw); i += 2 {
		units = append(units, order.Uint16(raw[i:]))
	}
	return string(utf16.Decode(units)), problem{}
}

// splitLines splits at line feeds, carriage returns and both together.
func splitLines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
}

// describeNoPEM says what a value without a PEM block is.
func describeNoPEM(text string) problem {
	trimmed := strings.TrimSpace(text)
	switch {
	case strings.HasPrefix(trimmed, "0\x82"), strings.HasPrefix(trimmed, "0\x83"), strings.HasPrefix(trimmed, "0\x80"):
		return problem{text: "is binary (DER or PKCS #12): convert it to PEM with openssl"}
	case strings.Contains(text, "\x00"):
		return problem{text: "is binary, or UTF-16 without a byte order mark: write PEM in UTF-8"}
	case strings.HasPrefix(trimmed, "LS0tLS1CRUdJTi"):
		return problem{text: "is base64 of PEM, so it was encoded twice: write it under stringData, or encode it once"}
	case strings.HasPrefix(trimmed, "MII"):
		return problem{text: "is base64 without BEGIN and END lines: write the whole PEM file"}
	}
	return problem{text: "holds no PEM: write text that starts with " + pemBegin}
}
