// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// pemBlock is a block and where it begins.
type pemBlock struct {
	*pem.Block
	// line of its BEGIN, counted from 1.
	line int
}

// scanner finds the blocks of a text. It reads what people have: indented blocks, END and BEGIN in
// one line, all of a block in one line, and any text around blocks. Each block is decoded by
// encoding/pem. A block that is incomplete or damaged is a problem: encoding/pem alone would skip
// it, and half a bundle would be used.
type scanner struct {
	found []pemBlock
	open  *openBlock
	// mention is the last line with text in front of a BEGIN, 0: none.
	mention int
}

// openBlock is a block whose END was not read yet.
type openBlock struct {
	label   string
	line    int
	headers []string
	body    strings.Builder
}

// scanPEM returns all blocks of a value, at least one.
func scanPEM(raw []byte) ([]pemBlock, problem) {
	text, p := decodeText(raw)
	if p.isPresent() {
		return nil, p
	}
	var s scanner
	for i, line := range splitLines(text) {
		if p := s.readLine(strings.TrimSpace(line), i+1); p.isPresent() {
			return nil, p
		}
	}
	switch {
	case s.open != nil:
		return nil, problemAt(s.open.line, "the block that begins here has no END, so it is cut off: write it again")
	case len(s.found) == 0:
		return nil, describeNoPEM(text)
	}
	return s.found, problem{}
}

const endDamaged = "the END is cut off or damaged: write it with five hyphens on each side"

// problemAt returns a problem in a line.
func problemAt(line int, text string) problem {
	return problem{text: fmt.Sprintf("line %d: %s", line, text)}
}

// readLine reads a line piece by piece.
func (s *scanner) readLine(rest string, line int) problem {
	for rest != "" {
		var p problem
		if s.open == nil {
			rest, p = s.readOutside(rest, line)
		} else {
			rest, p = s.readInside(rest, line)
		}
		if p.isPresent() {
			return p
		}
		rest = strings.TrimSpace(rest)
	}
	return problem{}
}

// readOutside reads text outside of blocks up to a BEGIN. It returns what follows it.
func (s *scanner) readOutside(rest string, line int) (string, problem) {
	if label, after, ok := cutMarker(rest, "BEGIN"); ok {
		s.open = &openBlock{label: label, line: line}
		return after, problem{}
	}
	if _, _, ok := cutMarker(rest, "END"); ok {
		return "", problemAt(line, "END without a BEGIN, so the block is cut off: write it again")
	}
	switch {
	case isDamagedMarker(rest):
		return "", problemAt(line, "the BEGIN or END is damaged: write it with five hyphens on each side")
	case strings.Contains(rest, pemBegin+" "):
		s.mention = line // such as a comment
	case s.mention == line-1 && line > 1 && base64Line.MatchString(rest):
		return "", problemAt(s.mention, "there is text in front of BEGIN: write BEGIN in a line of its own")
	}
	return "", problem{}
}

// base64Line matches a line of a block's body.
var base64Line = regexp.MustCompile(`^[0-9A-Za-z+/]{16,}={0,2}$`)

// readInside reads a block's body up to its END. It returns what follows it.
func (s *scanner) readInside(rest string, line int) (string, problem) {
	marker := strings.Index(rest, markerEdge)
	if marker < 0 {
		return "", s.addToBody(rest, line)
	}
	if marker > 0 {
		if p := s.addToBody(rest[:marker], line); p.isPresent() {
			return "", p
		}
	}
	rest = rest[marker:]
	if _, _, ok := cutMarker(rest, "BEGIN"); ok {
		return "", problemAt(line, fmt.Sprintf("BEGIN before the END of the block that begins in line %d: write that block "+
			"again", s.open.line))
	}
	label, after, ok := cutMarker(rest, "END")
	switch {
	case !ok:
		return "", problemAt(line, endDamaged)
	case label != s.open.label:
		return "", problemAt(line, fmt.Sprintf("END of another kind than the BEGIN in line %d: write that block again",
			s.open.line))
	}
	return after, s.closeBlock()
}

// addToBody adds base64, or a header (RFC 1421, section 4.4), to the open block.
func (s *scanner) addToBody(text string, line int) problem {
	b := s.open
	if b.body.Len() == 0 && strings.Contains(text, ":") {
		b.headers = append(b.headers, text)
		return problem{}
	}
	for _, c := range text {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/', c == '=':
			b.body.WriteRune(c)
		case c == ' ', c == '\t':
		case c == '\\':
			return problemAt(line, `holds a backslash, such as of \n, where a line break belongs: write the lines of the file`)
		case isDamagedMarker(text):
			return problemAt(line, endDamaged)
		default:
			return problemAt(line, "is no base64, so the block is damaged: write it again")
		}
	}
	return problem{}
}

// closeBlock decodes the open block.
func (s *scanner) closeBlock() problem {
	b := s.open
	s.open = nil
	var text strings.Builder
	text.WriteString(pemBegin + " " + b.label + markerEdge + "\n")
	for _, header := range b.headers {
		text.WriteString(header + "\n")
	}
	if len(b.headers) > 0 {
		text.WriteString("\n")
	}
	text.WriteString(b.body.String() + "\n" + pemEnd + " " + b.label + markerEdge + "\n")
	block, _ := pem.Decode([]byte(text.String()))
	if block == nil {
		return problemAt(b.line, "the block that begins here is damaged (its base64 cannot be decoded): write it again")
	}
	s.found = append(s.found, pemBlock{block, b.line})
	return problem{}
}

// cutMarker cuts a BEGIN or END from the start of a text. It returns its label and what follows.
func cutMarker(text, word string) (label, after string, ok bool) {
	rest, ok := strings.CutPrefix(text, markerEdge+word+" ")
	if !ok {
		return "", "", false
	}
	label, after, ok = strings.Cut(rest, markerEdge)
	if !ok || !labelText.MatchString(label) {
		return "", "", false
	}
	return label, after, true
}

// labelText matches a label (RFC 7468, section 3).
var labelText = regexp.MustCompile(`^[[:graph:]]+( [[:graph:]]+)*$`)

// damagedMarker matches lines such as "----BEGIN CERTIFICATE----", also with the dashes that word
// processors make.
var damagedMarker = regexp.MustCompile(
	`(?i)^[-‐‑–—−]*\s*(BEGIN|END)\s.*(CERTIFICATE|KEY|PARAMETERS|CRL|PKCS7)\s*[-‐‑–—−]*$`)

// isDamagedMarker reports whether a line was meant to be a BEGIN or END line.
func isDamagedMarker(line string) bool {
	const dashes = "-‐‑–—−"
	edged := strings.ContainsAny(line[:min(3, len(line))], dashes) || strings.HasSuffix(line, "--")
	return edged && damagedMarker.MatchString(line)
}

// publishedPEM is what programs are given of a value with these blocks: the value itself if encoding/pem
// finds the same in it and none is left out, otherwise the kept blocks in their usual form.
func publishedPEM(raw []byte, all, kept []pemBlock, complete bool) []byte {
	if complete && isPlain(raw, all) {
		return bytes.Clone(raw)
	}
	var out []byte
	for _, block := range kept {
		out = append(out, pem.EncodeToMemory(block.Block)...)
	}
	return out
}

// isPlain reports whether encoding/pem finds these blocks in a value.
func isPlain(raw []byte, blocks []pemBlock) bool {
	var plain []pemBlock
	for {
		block, rest := pem.Decode(raw)
		if block == nil {
			break
		}
		plain, raw = append(plain, pemBlock{Block: block}), rest
	}
	return slices.EqualFunc(plain, blocks, func(a, b pemBlock) bool {
		return a.Type == b.Type && bytes.Equal(a.Bytes, b.Bytes)
	})
}
