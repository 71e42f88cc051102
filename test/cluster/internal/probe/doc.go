// SPDX-License-Identifier: Apache-2.0

// Probe is what runs in the pods of the cluster's own test: a server of one file, and
// a client to ask it with.
//
//	probe serve <address> <file>    answers every request with what the file has now
//	probe get <url>                 prints the answer
package main
