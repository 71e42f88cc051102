// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"fmt"
	"maps"
	"slices"
	"text/template"
	"text/template/parse"
)

// costBudget is what the templates of one session have used together. Anyone who may write
// a session may write templates, and none may hold up the others'. What can repeat is a
// range only, and what can grow is what functions return: both pay here.
type costBudget struct{ spent int }

const (
	// maxSpent bounds it: 32,768 parts of templates, or 1 MiB through functions.
	maxSpent = 1 << 20
	// nodeCost is what one part of a template costs; a byte through a function costs 1.
	nodeCost = 32
	// maxText bounds what one call of a function is given, in bytes, and with it what
	// a comparison may take.
	maxText = 64 << 10
)

// charge fails when there is not as much left.
func (b *costBudget) charge(cost int) error {
	if cost < 0 || cost > maxSpent-b.spent {
		return fault("it does too much: it repeats too often or handles texts that are too long")
	}
	b.spent += cost
	return nil
}

// handle pays for a text of so many bytes.
func (b *costBudget) handle(length int) error {
	if length > maxText {
		return fault(fmt.Sprintf("it handles a text of more than %d bytes", maxText))
	}
	return b.charge(length)
}

// turn is the function that pays for one turn of a range. Templates cannot name it.
const turn = "turn"

// builtins of text/template that stay. The others (call, html, js, println and their
// like) are not needed here, or would make texts that nobody pays for.
var builtins = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "slice"}

// sandbox checks a parsed template and makes it pay for every turn of its ranges.
func sandbox(root *parse.ListNode, functions template.FuncMap) error {
	allowed := append(slices.Collect(maps.Keys(functions)), builtins...)
	allowed = slices.DeleteFunc(allowed, func(name string) bool { return name == turn })
	_, err := (&inspector{allowed: allowed}).list(root)
	return err
}

type inspector struct{ allowed []string }

// list returns how many parts there are in a list, all below it counted.
func (i *inspector) list(list *parse.ListNode) (int, error) {
	if list == nil {
		return 0, nil
	}
	return i.all(list.Nodes)
}

func (i *inspector) all(nodes []parse.Node) (int, error) {
	sum := 1
	for _, node := range nodes {
		parts, err := i.node(node)
		if err != nil {
			return 0, err
		}
		sum += parts
	}
	return sum, nil
}

func (i *inspector) node(node parse.Node) (int, error) {
	switch node := node.(type) {
	case *parse.ActionNode:
		return i.pipe(node.Pipe)
	case *parse.PipeNode:
		return i.pipe(node)
	case *parse.CommandNode:
		return i.all(node.Args)
	case *parse.ChainNode:
		return i.node(node.Node)
	case *parse.IfNode:
		return i.branch(&node.BranchNode)
	case *parse.WithNode:
		return i.branch(&node.BranchNode)
	case *parse.RangeNode:
		return i.loop(node)
	case *parse.TemplateNode:
		return 0, fault("define, block and template cannot be used here")
	case *parse.IdentifierNode:
		if !slices.Contains(i.allowed, node.Ident) {
			return 0, fault(fmt.Sprintf("function %q cannot be used here", node.Ident))
		}
	}
	return 1, nil
}

func (i *inspector) pipe(pipe *parse.PipeNode) (int, error) {
	sum := 1
	for _, command := range pipe.Cmds {
		parts, err := i.all(command.Args)
		if err != nil {
			return 0, err
		}
		sum += parts
	}
	return sum, nil
}

func (i *inspector) branch(branch *parse.BranchNode) (int, error) {
	sum, err := i.pipe(branch.Pipe)
	if err != nil {
		return 0, err
	}
	for _, list := range []*parse.ListNode{branch.List, branch.ElseList} {
		parts, err := i.list(list)
		if err != nil {
			return 0, err
		}
		sum += parts
	}
	return sum, nil
}

// loop puts in front of a range's body the call that pays for it.
func (i *inspector) loop(node *parse.RangeNode) (int, error) {
	parts, err := i.branch(&node.BranchNode)
	if err != nil {
		return 0, err
	}
	payment := fmt.Sprintf("{{%s %d}}", turn, parts*nodeCost)
	parsed, err := parse.Parse(turn, payment, "", "", map[string]any{turn: true})
	if err != nil {
		return 0, fmt.Errorf("confine a range: %w", err)
	}
	node.List.Nodes = append(slices.Clone(parsed[turn].Root.Nodes), node.List.Nodes...)
	return parts, nil
}
