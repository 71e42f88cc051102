// SPDX-License-Identifier: Apache-2.0

// Package licences finds the modules that are compiled into a program, and the licences that they
// come with. The reference page of hack/docs and the files of hack/release/notices are made of it.
//
// It asks the go command in the working directory, and reads the module cache.
package licences
