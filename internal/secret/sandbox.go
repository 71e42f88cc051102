// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"fmt"
	"maps"
	"slices"
	"text/template"
	"text/template/parse"
)

// costBudget counts what the templates of one session have used together. Anyone who can write a
// session can write templates, so a template must not be able to occupy a worker. Only ranges can
// repeat and only functions can return long texts: both are charged here.
type costBudget struct{ spent int }

const (
	// maxSpent is the limit: 32,768 template nodes, or 1 MiB passed through functions.
	maxSpent = 1 << 20
	// nodeCost is the cost of one template node. A byte that passes through a function costs 1.
	nodeCost = 32
	// maxText is the maximum length of a text that is passed to a function or a comparison, in bytes.
	maxText = 64 << 10
)

// charge fails if the remaining budget is less than cost.
func (b *costBudget) charge(cost int) error {
	if cost < 0 || cost > maxSpent-b.spent {
		return fault("it repeats too often or handles texts that are too long: shorten it")
	}
	b.spent += cost
	return nil
}

// chargeText charges for a text of that length.
func (b *costBudget) chargeText(length int) error {
	if length > maxText {
		return fault(fmt.Sprintf("it handles a text of more than %d bytes: shorten it", maxText))
	}
	return b.charge(length)
}

// chargeIteration is the function that charges for one iteration of a range. Templates cannot call
// it by name.
const chargeIteration = "turn"

// builtins of text/template that are allowed. The others (call, html, js, println and similar) are
// not needed, or would create texts that are not charged.
var builtins = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "slice"}

// sandbox checks a parsed template and makes it charge for every iteration of its ranges.
func sandbox(root *parse.ListNode, functions template.FuncMap) error {
	allowed := append(slices.Collect(maps.Keys(functions)), builtins...)
	allowed = slices.DeleteFunc(allowed, func(name string) bool { return name == chargeIteration })
	_, err := (&inspector{allowed: allowed}).countList(root)
	return err
}

type inspector struct{ allowed []string }

// countList returns the number of nodes in a list, including nested ones.
func (i *inspector) countList(list *parse.ListNode) (int, error) {
	if list == nil {
		return 0, nil
	}
	return i.countAll(list.Nodes)
}

func (i *inspector) countAll(nodes []parse.Node) (int, error) {
	sum := 1
	for _, node := range nodes {
		parts, err := i.countNode(node)
		if err != nil {
			return 0, err
		}
		sum += parts
	}
	return sum, nil
}

func (i *inspector) countNode(node parse.Node) (int, error) {
	switch node := node.(type) {
	case *parse.ActionNode:
		return i.countPipe(node.Pipe)
	case *parse.PipeNode:
		return i.countPipe(node)
	case *parse.CommandNode:
		return i.countAll(node.Args)
	case *parse.ChainNode:
		return i.countNode(node.Node)
	case *parse.IfNode:
		return i.countBranch(&node.BranchNode)
	case *parse.WithNode:
		return i.countBranch(&node.BranchNode)
	case *parse.RangeNode:
		return i.countLoop(node)
	case *parse.TemplateNode:
		return 0, fault("define, block and template cannot be used here: write the text itself")
	case *parse.IdentifierNode:
		if !slices.Contains(i.allowed, node.Ident) {
			return 0, fault(fmt.Sprintf("function %q cannot be used here", node.Ident))
		}
	}
	return 1, nil
}

func (i *inspector) countPipe(pipe *parse.PipeNode) (int, error) {
	sum := 1
	for _, command := range pipe.Cmds {
		parts, err := i.countAll(command.Args)
		if err != nil {
			return 0, err
		}
		sum += parts
	}
	return sum, nil
}

func (i *inspector) countBranch(branch *parse.BranchNode) (int, error) {
	sum, err := i.countPipe(branch.Pipe)
	if err != nil {
		return 0, err
	}
	for _, list := range []*parse.ListNode{branch.List, branch.ElseList} {
		parts, err := i.countList(list)
		if err != nil {
			return 0, err
		}
		sum += parts
	}
	return sum, nil
}

// loop inserts the call that charges for an iteration before a range's body.
func (i *inspector) countLoop(node *parse.RangeNode) (int, error) {
	parts, err := i.countBranch(&node.BranchNode)
	if err != nil {
		return 0, err
	}
	payment := fmt.Sprintf("{{%s %d}}", chargeIteration, parts*nodeCost)
	parsed, err := parse.Parse(chargeIteration, payment, "", "", map[string]any{chargeIteration: true})
	if err != nil {
		return 0, fmt.Errorf("charge for a range: %w", err)
	}
	node.List.Nodes = append(slices.Clone(parsed[chargeIteration].Root.Nodes), node.List.Nodes...)
	return parts, nil
}
