//! A guest's network card without a guest: frames between a workspace's tap and the kernel of another
//! namespace, so that plain sockets play what runs in a workspace.
