// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const convertHelp = `Give CoderDeployments and CoderSessions of versions before 0.2.0 the names of fields that this
version has, such as spec.paused for spec.suspend. Access rules without a name get one.

With -f it converts manifests. The result goes to standard output, and what was changed to standard
error; comments are lost, other objects are printed as they are.

Without -f it converts the objects of the namespace (with -A: of all namespaces), with their status. Do
that before the CRDs of this version are installed: afterwards the API server drops fields that it does
not know, and they cannot be read any more. Stop the former operator first, and keep the output in a
file.

--write writes such a file to the cluster, once the CRDs of this version are installed and before its
operator starts. Objects that do not exist are not created, and fields that have a value under their
present name are left alone, so it can be run again. Status is written only to objects that have not been
changed since: the operator looks at everything anyway. The upgrade page has all steps.

No Secret is read or written. You need the rights to list both kinds, and for --write those to patch them
and their status.

Exit codes:
  0    everything is converted
  1    some objects could not be written: the messages say which and why; or the command line or a file
       is wrong
  2    the CRDs are those of the wrong version
  4    the API server cannot be reached or does not allow it
  130  interrupted with Ctrl-C: run it again to go on`

const convertExamples = `  # The manifests of a repository
  kubectl coder convert -f coder.yaml > converted.yaml

  # Before the CRDs are upgraded: all objects of the cluster, with their status
  kubectl coder convert -A > converted.yaml

  # After the CRDs were upgraded, and before the operator starts
  kubectl coder convert -f converted.yaml --write`

// convertOptions are the flags of convert.
type convertOptions struct {
	all, write bool
	files      []string // "-" is standard input
}

// newConvert returns the convert command.
func newConvert(c *connector) *cobra.Command {
	var o convertOptions
	command := &cobra.Command{
		Use:     "convert",
		Short:   "Convert objects of versions before 0.2.0",
		Long:    convertHelp,
		Example: convertExamples,
		GroupID: groupSetUp,
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return c.runConversion(command.Context(), o)
		},
	}
	flags := command.Flags()
	addAllNamespaces(flags, &o.all)
	flags.StringArrayVarP(&o.files, "filename", "f", nil, "file with manifests, in YAML or JSON; - is standard input; "+
		"may be repeated")
	flags.BoolVar(&o.write, "write", false, "with -f: write what is converted to the cluster, instead of printing it")
	return command
}

// validate checks the combinations of flags.
func (o *convertOptions) validate() error {
	switch {
	case o.write && len(o.files) == 0:
		return errors.New("--write needs -f: the file to which the objects were written before the CRDs were upgraded")
	case o.all && len(o.files) > 0:
		return errors.New("-A is for the objects of the cluster: leave it out with -f")
	}
	return nil
}

// runConversion converts the objects, and prints or writes them.
func (c *connector) runConversion(ctx context.Context, o convertOptions) error {
	if len(o.files) == 0 {
		cluster, err := c.connect()
		if err != nil {
			return err
		}
		objects, err := c.readFormerObjects(ctx, cluster, o.all)
		if err != nil {
			return err
		}
		return c.printConverted(objects)
	}
	objects, err := c.readManifests(o.files)
	if err != nil {
		return err
	}
	if !o.write {
		return c.printConverted(objects)
	}
	for _, object := range objects {
		convertFields(object)
	}
	cluster, err := c.connect()
	if err != nil {
		return err
	}
	return c.writeConverted(ctx, cluster, objects)
}

// printConverted converts objects, prints them as a stream of YAML documents, and says what was changed.
func (c *connector) printConverted(objects []*unstructured.Unstructured) error {
	changed := 0
	var text strings.Builder
	for i, object := range objects {
		changes := convertFields(object)
		for _, change := range changes {
			c.out.printErrf("%s: %s", describeObject(object), change)
		}
		if len(changes) > 0 {
			changed++
		}
		document, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("write %s: %w", describeObject(object), err)
		}
		if i > 0 {
			text.WriteString("---\n")
		}
		text.Write(document)
	}
	c.out.printErrf("%d of %d objects have fields with former names.", changed, len(objects))
	return c.out.writeOut(text.String())
}

// describeObject names an object for people, such as "CoderSession builds/ci".
func describeObject(object *unstructured.Unstructured) string {
	name := object.GetName()
	if namespace := object.GetNamespace(); namespace != "" {
		name = namespace + "/" + name
	}
	return object.GetKind() + " " + name
}

// unstructuredKind is a kind of the operator with all fields that the API server serves.
func unstructuredKind(noun, kind string) objectKind[*unstructured.Unstructured] {
	return objectKind[*unstructured.Unstructured]{noun, func() client.ObjectList {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
		return list
	}}
}

// readFormerObjects reads all deployments and sessions, under the CRDs of a former version.
func (c *connector) readFormerObjects(
	ctx context.Context, cluster *cluster, all bool,
) ([]*unstructured.Unstructured, error) {
	current, err := cluster.servesCurrentFields(ctx)
	if err != nil {
		return nil, err
	}
	if current {
		return nil, newExitError(ExitBlocked, "the CRDs of this version are installed, and fields with former names "+
			"cannot be read any more: use the output of this command from before, with -f and --write")
	}
	namespace := cluster.namespace
	if all {
		namespace = ""
	}
	var objects []*unstructured.Unstructured
	for _, kind := range []objectKind[*unstructured.Unstructured]{
		unstructuredKind(deploymentKind.noun, deploymentKindName),
		unstructuredKind(sessionKind.noun, v1alpha1.KindCoderSession),
	} {
		found, _, err := kind.listAll(ctx, cluster.client, selectNamespace(namespace))
		if err != nil {
			return nil, readError(kind.noun+"s", err)
		}
		for _, object := range found {
			removeServerFields(object)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// lastApplied is the annotation in which kubectl apply keeps the manifest.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// removeServerFields removes what only the API server and kubectl need.
func removeServerFields(object *unstructured.Unstructured) {
	object.SetManagedFields(nil)
	annotations := object.GetAnnotations()
	delete(annotations, lastApplied)
	if len(annotations) == 0 {
		annotations = nil
	}
	object.SetAnnotations(annotations)
}

// servesCurrentFields reports whether the CRDs are those of this version.
func (c *cluster) servesCurrentFields(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	served, err := c.readServedAPI(ctx)
	if err != nil {
		return false, newExitError(ExitUnreachable, "cannot read which fields the cluster has: %w", err)
	}
	session := served.kinds[v1alpha1.KindCoderSession]
	if session == nil || session.Properties["spec"] == nil {
		return false, newExitError(ExitUnreachable, "this cluster has no CoderSessions in %s: install the CRDs, or "+
			"choose another one with --context", v1alpha1.GroupVersion)
	}
	_, found := session.Properties["spec"].Properties["paused"]
	return found, nil
}
