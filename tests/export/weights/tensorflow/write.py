"""Writes the checkpoint in this folder, and what TensorFlow draws and judges with it; no test runs this.

A tiny DCGAN as carpedm20's and bamos' programs build it: variables of the same names, shapes and order, each
layer by the same operation, one step of Adam, saved by ``tf.train.Saver``. Written by TensorFlow 2.21.0:

    pip install tensorflow-cpu==2.21.0 && python tests/export/weights/tensorflow/write.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

FOLDER = Path(__file__).parent
Z, COUNT, SIDE = 8, 2, 2  # numbers of z, pictures to compare, of the first maps
G_WIDTHS, D_WIDTHS = (10, 6, 4, 3, 3), (3, 4, 6, 10)
STD = 0.3  # ten times that of the programs, so that what is drawn is no grey


def batch_norm(x, name, training):
    with tf.variable_scope(name, reuse=tf.AUTO_REUSE):
        features = [int(x.shape[-1])]
        gamma = tf.get_variable("gamma", features, initializer=tf.random_normal_initializer(1.0, 0.2))
        beta = tf.get_variable("beta", features, initializer=tf.random_normal_initializer(0.0, 0.2))
        ones, zeros = tf.ones_initializer(), tf.zeros_initializer()
        mean = tf.get_variable("moving_mean", features, initializer=zeros, trainable=False)
        variance = tf.get_variable("moving_variance", features, initializer=ones, trainable=False)
        if training:
            mean, variance = (
                tf.assign(*each) for each in zip((mean, variance), tf.nn.moments(x, [0, 1, 2]), strict=True)
            )
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-5)


def linear(x, outputs, name):
    with tf.variable_scope(name, reuse=tf.AUTO_REUSE):
        matrix = tf.get_variable(
            "Matrix", [x.shape[1], outputs], initializer=tf.random_normal_initializer(stddev=STD)
        )
        return tf.matmul(x, matrix) + tf.get_variable("bias", [outputs], initializer=biases())


def conv2d(x, outputs, name):
    with tf.variable_scope(name, reuse=tf.AUTO_REUSE):
        w = tf.get_variable(
            "w", [5, 5, x.shape[-1], outputs], initializer=tf.truncated_normal_initializer(stddev=STD)
        )
        x = tf.nn.conv2d(x, w, strides=[1, 2, 2, 1], padding="SAME")
        return tf.nn.bias_add(x, tf.get_variable("biases", [outputs], initializer=biases()))


def deconv2d(x, outputs, name):
    with tf.variable_scope(name, reuse=tf.AUTO_REUSE):
        w = tf.get_variable(
            "w", [5, 5, outputs, x.shape[-1]], initializer=tf.random_normal_initializer(stddev=STD)
        )
        side = 2 * int(x.shape[1])
        shape = [tf.shape(x)[0], side, side, outputs]
        x = tf.nn.conv2d_transpose(x, w, output_shape=shape, strides=[1, 2, 2, 1])
        x.set_shape([None, side, side, outputs])
        return tf.nn.bias_add(x, tf.get_variable("biases", [outputs], initializer=biases()))


def biases():
    return tf.random_normal_initializer(stddev=0.2)


def generator(z, *, training):
    with tf.variable_scope("generator", reuse=tf.AUTO_REUSE):
        x = tf.reshape(linear(z, G_WIDTHS[0] * SIDE**2, "g_h0_lin"), [-1, SIDE, SIDE, G_WIDTHS[0]])
        for index, width in enumerate(G_WIDTHS[1:], start=1):
            x = tf.nn.relu(batch_norm(x, f"g_bn{index - 1}", training))
            x = deconv2d(x, width, f"g_h{index}")
        return tf.nn.tanh(x)


def discriminator(x, *, training):
    with tf.variable_scope("discriminator", reuse=tf.AUTO_REUSE):
        x = tf.nn.leaky_relu(conv2d(x, D_WIDTHS[0], "d_h0_conv"), 0.2)
        for index, width in enumerate(D_WIDTHS[1:], start=1):
            x = batch_norm(conv2d(x, width, f"d_h{index}_conv"), f"d_bn{index}", training)
            x = tf.nn.leaky_relu(x, 0.2)
        flat = tf.reshape(x, [-1, SIDE * SIDE * D_WIDTHS[-1]])
        return linear(flat, 1, "d_h4_lin")


def main():
    tf.disable_eager_execution()
    tf.set_random_seed(0)
    rng = np.random.default_rng(0)
    z = tf.placeholder(tf.float32, [None, Z])
    judged = discriminator(generator(z, training=True), training=True)
    trained = [
        tf.train.AdamOptimizer(0.0002, beta1=0.5).minimize(
            tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(logits=judged, labels=labels)),
            var_list=[each for each in tf.trainable_variables() if part in each.name],
        )
        for part, labels in (("d_", tf.zeros_like(judged)), ("g_", tf.ones_like(judged)))
    ]
    pictures = generator(z, training=False)
    logits = discriminator(pictures, training=False)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        seen = rng.uniform(-1, 1, (512, Z))
        for step in trained:
            session.run(step, {z: seen})
        shown = rng.uniform(-1, 1, (COUNT, Z)).astype(np.float32)
        drawn, judgement = session.run([pictures, logits], {z: shown})
        saver = tf.train.Saver(max_to_keep=1, save_relative_paths=True)
        saver.save(session, str(FOLDER / "DCGAN.model"), global_step=2, write_meta_graph=False)
    np.savez(FOLDER / "expected.npz", z=shown, pictures=drawn, logits=judgement)


if __name__ == "__main__":
    main()
