// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"
)

// wide is the value of -o that shows every session in the tree.
const wide = "wide"

// formats are the values of -o that print objects.
var formats = []string{"json", "yaml", "name"}

// joinWithOr joins words to "a, b or c".
func joinWithOr(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// printObjects prints the deployments and their sessions as kubectl get does.
func printObjects(out io.Writer, format string, found []deploymentNode) error {
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	objects := objectsOf(found)
	set := printers.NewTypeSetter(scheme)
	if format == "name" {
		printer, err := genericclioptions.NewNamePrintFlags("").ToPrinter(format)
		if err != nil {
			return fmt.Errorf("prepare -o %s: %w", format, err)
		}
		for _, object := range objects {
			if err := set.ToPrinter(printer).PrintObj(object, out); err != nil {
				return fmt.Errorf("print with -o %s: %w", format, err)
			}
		}
		return nil
	}
	printer, err := genericclioptions.NewJSONYamlPrintFlags().ToPrinter(format)
	if err != nil {
		return fmt.Errorf("prepare -o %s: %w", format, err)
	}
	list := &corev1.List{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("List"))
	list.Items = make([]runtime.RawExtension, 0, len(objects))
	for _, object := range objects {
		// The API server omits apiVersion and kind from the items of a list.
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil {
			return fmt.Errorf("print with -o %s: %w", format, err)
		}
		object.GetObjectKind().SetGroupVersionKind(kinds[0])
		list.Items = append(list.Items, runtime.RawExtension{Object: object})
	}
	if err := printer.PrintObj(list, out); err != nil {
		return fmt.Errorf("print with -o %s: %w", format, err)
	}
	return nil
}

// objectsOf returns copies of the objects: each deployment, followed by its sessions.
func objectsOf(found []deploymentNode) []runtime.Object {
	var objects []runtime.Object
	for i := range found {
		if found[i].deployment != nil {
			objects = append(objects, found[i].deployment.DeepCopy())
		}
		for j := range found[i].sessions {
			objects = append(objects, found[i].sessions[j].session.DeepCopy())
			for k := range found[i].sessions[j].pods {
				objects = append(objects, found[i].sessions[j].pods[k].session.DeepCopy())
			}
		}
	}
	return objects
}
