// SPDX-License-Identifier: Apache-2.0

// Command pack puts the compiled manager of each architecture, and its licences, into an image from
// scratch, without a container tool:
//
//	pack -folder bin/image -version v0.3.0 -revision <commit> -epoch 1700000000 -layout image.tar amd64 arm64
//
// The images can be written as an OCI image layout (-layout), loaded into a container tool from an
// archive (-archive), and pushed to a registry (-push). The same files and flags make the same images,
// byte for byte. Their digest is printed.
package main
