// SPDX-License-Identifier: Apache-2.0

// Package picture draws what programs print and measure as SVG, for the README and the pages, and
// compares the drawing with the file that is committed.
//
//	picture.CompareForTest(t, "../../docs/images/status.svg", picture.Terminal("kubectl coder status", output), *update)
//
// A picture depends on nothing but what it shows: not on the fonts of the machine that draws it, the
// time or the locale. It has its own background, and is readable on light and dark pages.
package picture
