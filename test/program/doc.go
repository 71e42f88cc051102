// SPDX-License-Identifier: Apache-2.0

// Package program builds, starts and stops the programs under test: the operator as a process of
// its own above all.
//
//	err := program.Build(ctx, root, folder, "manager")
//	...
//	operator, err := program.StartOperator(program.OperatorOptions{
//		Path: filepath.Join(folder, "manager"), Kubeconfig: user.Kubeconfig,
//		Namespace: "coder-system", Log: filepath.Join(folder, "manager.log"),
//	})
//	...
//	defer func() { errs = append(errs, operator.Stop()) }()
//	err = operator.AwaitReady(ctx, time.Minute)
//
// It owns the process group, the log file and the end: a program ends with the process that started
// it, however that ends. It knows nothing of the cluster (test/kube, test/cluster). The operator's
// controllers inside the test's own process are the business of test/inprocess.
package program
