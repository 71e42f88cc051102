// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// chartArguments is the template that creates the manager's command line from the chart's values.
const chartArguments = "charts/coder-session-operator/templates/_args.tpl"

// managerFlag is one flag as --help shows it.
type managerFlag struct{ name, usage, initial string }

// flagsPage lists the manager's flags with the chart's values that set them.
func flagsPage(page *bytes.Buffer) error {
	help, err := managerHelp()
	if err != nil {
		return err
	}
	template, err := os.ReadFile(chartArguments)
	if err != nil {
		return err
	}
	values := chartValues(string(template))
	page.WriteString(text("flags") + "\n")
	page.WriteString("| flag | default | chart | meaning |\n|---|---|---|---|\n")
	for _, flag := range parseHelp(help) {
		fmt.Fprintf(page, "| `--%s` | %s | %s | %s |\n",
			flag.name, flag.initial, values[flag.name], tableCell(flag.usage))
		delete(values, flag.name)
	}
	for name := range values {
		return fmt.Errorf("%s sets --%s, which the manager does not have", chartArguments, name)
	}
	return nil
}

// managerHelp is what the manager prints for --help.
func managerHelp() (string, error) {
	// Uses what make build has compiled already.
	command := exec.Command("go", "run", "-trimpath", "./cmd/manager", "--help")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", command, err, output)
	}
	return string(output), nil
}

var (
	flagLine     = regexp.MustCompile(`^  -([a-z-]+)(?: (\w+))?$`)
	flagDefault  = regexp.MustCompile(`^(.*) \(default "?([^"]*)"?\)$`)
	flagInWords  = regexp.MustCompile(`^(.*); default: (.*)$`)
	chartSetting = regexp.MustCompile(`--([a-z-]+)(?:=(.*))?$`)
	chartValue   = regexp.MustCompile(`\.Values\.([A-Za-z.]+)`)
	chartBlock   = regexp.MustCompile(`^\{\{-? (if|with|range|define|end)\b(.*)\}\}$`)
)

// parseHelp parses the output of package flag: one line with the name, and lines with the usage.
func parseHelp(help string) []managerFlag {
	var flags []managerFlag
	for line := range strings.Lines(help) {
		line = strings.TrimRight(line, "\n")
		if match := flagLine.FindStringSubmatch(line); match != nil {
			flags = append(flags, managerFlag{name: match[1]})
			if match[2] == "" { // a switch, which is off unless the usage says otherwise
				flags[len(flags)-1].initial = "`false`"
			}
			continue
		}
		usage, found := strings.CutPrefix(line, "    \t")
		if !found || len(flags) == 0 {
			continue
		}
		flag := &flags[len(flags)-1]
		if match := flagDefault.FindStringSubmatch(usage); match != nil {
			usage, flag.initial = match[1], "`"+strings.TrimSuffix(match[2], "0s")+"`"
		}
		flag.usage = strings.TrimSpace(flag.usage + " " + usage)
	}
	for i, flag := range flags {
		// A default that is not a literal is in the usage.
		if match := flagInWords.FindStringSubmatch(flag.usage); match != nil && flag.initial == "" {
			sentence, rest, _ := strings.Cut(match[2], ". ")
			flags[i].initial = sentence
			flags[i].usage = strings.TrimSuffix(match[1]+". "+rest, ". ")
		}
	}
	return flags
}

// chartValues returns for each flag the value of the chart that sets it.
func chartValues(template string) map[string]string {
	values := map[string]string{}
	var blocks []string // values of the enclosing blocks; empty for blocks without one
	for line := range strings.Lines(template) {
		line = strings.TrimSpace(line)
		if match := chartBlock.FindStringSubmatch(line); match != nil {
			if match[1] == "end" {
				blocks = blocks[:len(blocks)-1]
			} else {
				blocks = append(blocks, firstValue(match[2]))
			}
			continue
		}
		if match := chartSetting.FindStringSubmatch(strings.TrimSuffix(line, "}}")); match != nil {
			values[match[1]] = chartSource(line, match[2], blocks)
		}
	}
	return values
}

// chartSource says where a line of the template takes a flag's value from: a value that it names
// itself, a constant, or the innermost block with a value.
func chartSource(line, setting string, blocks []string) string {
	if value := firstValue(line); value != "" {
		return "`" + value + "`"
	}
	if strings.Contains(line, "include") {
		return "the release's name"
	}
	block := "" // the innermost one with a value
	for _, value := range blocks {
		if value != "" {
			block = "`" + value + "`"
		}
	}
	switch constant := setting != "" && !strings.Contains(line, "{{"); {
	case constant && block != "":
		return "`" + setting + "`, with " + block
	case constant:
		return "always `" + setting + "`"
	case block != "":
		return block
	}
	return "always set"
}

// firstValue returns the first value of the chart in a text.
func firstValue(text string) string {
	if match := chartValue.FindStringSubmatch(text); match != nil {
		return match[1]
	}
	return ""
}
