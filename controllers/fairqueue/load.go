// SPDX-License-Identifier: Apache-2.0

package fairqueue

// Load is how much of a queue each namespace takes. It is for metrics, and names none.
type Load struct {
	// Waiting is how many objects wait for a worker.
	Waiting int
	// Namespaces is how many namespaces have passes that run, or objects that wait.
	Namespaces int
	// LargestShare is the share of these passes and objects that belong to one namespace: that with the
	// most. It ranges from 0 to 1.
	LargestShare float64
}

// Load returns the present load.
func (q *Queue) Load() Load {
	q.mu.Lock()
	defer q.mu.Unlock()
	var load Load
	ofNamespace := map[string]int{}
	for namespace, t := range q.waiting {
		for _, lists := range t.deployments {
			load.Waiting += len(lists.known)
			ofNamespace[namespace] += len(lists.known)
		}
	}
	for _, passes := range []counts{q.held, q.aside} {
		for namespace, count := range passes.namespaces {
			ofNamespace[namespace] += count
		}
	}
	all, largest := 0, 0
	for _, count := range ofNamespace {
		all += count
		largest = max(largest, count)
	}
	if load.Namespaces = len(ofNamespace); all > 0 {
		load.LargestShare = float64(largest) / float64(all)
	}
	return load
}
